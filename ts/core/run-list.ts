import { CoreError } from "./errors.ts";
import type { TableRun } from "./iommu-driver.ts";

/** Runs in order of their address, none over another: what a table made of software keeps. */
export class RunList implements Iterable<TableRun> {
	private readonly runs: TableRun[] = [];

	/** Index of the first run that ends after an address. */
	private search(iova: bigint): number {
		let low = 0;
		let high = this.runs.length;
		while (low < high) {
			const mid = (low + high) >> 1;
			if (this.runs[mid].iova + this.runs[mid].size <= iova) low = mid + 1;
			else high = mid;
		}
		return low;
	}

	/** The run that holds an address. */
	find(iova: bigint): TableRun | undefined {
		const run = this.runs[this.search(iova)];
		return run !== undefined && run.iova <= iova ? run : undefined;
	}

	/** @throws CoreError Occupied */
	map(run: TableRun): void {
		const index = this.search(run.iova);
		const there = this.runs[index];
		if (there !== undefined && there.iova < run.iova + run.size) {
			throw new CoreError("Occupied", "something is mapped there", { operation: "map", object: "table", first: run.iova, last: run.iova + run.size - 1n });
		}
		this.runs.splice(index, 0, run);
	}

	/** Take `size` bytes at `iova` out; a run that reaches over an end is cut there. */
	unmap(iova: bigint, size: bigint): void {
		const end = iova + size;
		let index = this.search(iova);
		while (index < this.runs.length && this.runs[index].iova < end) {
			const run = this.runs[index];
			const kept: TableRun[] = [];
			if (run.iova < iova) kept.push({ ...run, size: iova - run.iova });
			if (run.iova + run.size > end) kept.push({ ...run, iova: end, pa: run.pa + (end - run.iova), size: run.iova + run.size - end });
			this.runs.splice(index, 1, ...kept);
			index += kept.length;
		}
	}

	[Symbol.iterator](): Iterator<TableRun> {
		return this.runs[Symbol.iterator]();
	}
}
