/** Small seeded generator (xorshift32): the same walk of a test on every machine. */
export class Random {
	private state: number;

	constructor(seed: number) {
		this.state = Math.imul(seed, 0x9e3779b9) | 1;
	}

	next(): number {
		let x = this.state;
		x ^= x << 13;
		x ^= x >>> 17;
		x ^= x << 5;
		this.state = x;
		return x >>> 0;
	}

	/** 0 to n - 1 */
	below(n: number): number {
		return this.next() % n;
	}

	chance(p: number): boolean {
		return this.next() < p * 2 ** 32;
	}

	pick<T>(list: readonly T[]): T {
		return list[this.below(list.length)];
	}

	bits64(): bigint {
		return (BigInt(this.next()) << 32n) | BigInt(this.next());
	}
}
