/** Counts over positions 1 to n that are added to and summed in O(log n) (Fenwick's binary indexed tree). */
export class Fenwick {
	private readonly tree: Int32Array;
	total = 0;

	constructor(readonly length: number) {
		this.tree = new Int32Array(length + 1);
	}

	add(position: number, value: number): void {
		const { tree, length } = this;
		this.total += value;
		for (let i = position; i <= length; i += i & -i) tree[i] += value;
	}

	/** Sum over 1 to `position`. */
	sum(position: number): number {
		const { tree } = this;
		let sum = 0;
		for (let i = position; i > 0; i &= i - 1) sum += tree[i];
		return sum;
	}

	/** What adding `marks[i]` at each i would give, in O(n). */
	fill(marks: Uint8Array): void {
		const { tree, length } = this;
		tree.fill(0);
		this.total = 0;
		for (let i = 1; i <= length; i++) {
			tree[i] += marks[i];
			this.total += marks[i];
			const parent = i + (i & -i);
			if (parent <= length) tree[parent] += tree[i];
		}
	}
}
