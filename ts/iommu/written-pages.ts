/** What was written in tables that are gone, until somebody asks: bytes by address. */
export class WrittenPages {
	private readonly sizes = new Map<bigint, bigint>();

	keep(iova: bigint, size: bigint): void {
		this.sizes.set(iova, size);
	}

	/** Tell what touches a range; `clear` forgets it. */
	read(iova: bigint, size: bigint, clear: boolean, visit: (iova: bigint, size: bigint) => void): void {
		for (const [at, bytes] of [...this.sizes]) {
			if (at >= iova + size || at + bytes <= iova) continue;
			visit(at, bytes);
			if (clear) this.sizes.delete(at);
		}
	}

	clear(): void {
		this.sizes.clear();
	}
}
