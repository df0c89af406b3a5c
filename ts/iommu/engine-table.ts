import { CoreError, type IommuTable, type TableContent, type TableRun } from "../core/index.ts";
import { EngineError, type PageTable } from "../engine/index.ts";

const REASONS = { Occupied: "Occupied", Misaligned: "Misaligned", OutOfRange: "Unsupported", OutOfFrames: "NoSpace", OutOfRecords: "NoSpace", Permission: "Unsupported" } as const;

/** The engine's refusal in core's words. */
export function refused(error: unknown, operation: string, object: string): CoreError {
	if (error instanceof CoreError) return error;
	if (error instanceof EngineError) {
		const reason = REASONS[error.code as keyof typeof REASONS] ?? "Unsupported";
		const { first, last } = error.context;
		return new CoreError(reason, error.message, { operation, object, ...(first === undefined || last === undefined ? {} : { first, last }) }, { cause: error });
	}
	throw error;
}

/** A table that the engine builds and walks, and the tag that its cached answers carry. */
export class EngineTable implements IommuTable {
	constructor(
		readonly pages: PageTable,
		/** domain id (DID, VMID, ASID ... in the unit's words) */
		readonly id: number,
		private readonly invalidate: (table: EngineTable, iova: bigint, size: bigint) => void,
	) {}

	/** Fill it with what the space holds. @throws CoreError; it is empty then */
	fill(content: TableContent): void {
		try {
			for (const run of content()) this.map(run);
		} catch (error) {
			this.pages.clear();
			throw error;
		}
	}

	map({ iova, pa, size, permissions }: TableRun): void {
		try {
			this.pages.map(iova, pa, size, permissions);
		} catch (error) {
			throw refused(error, "map", "table");
		}
	}

	unmap(iova: bigint, size: bigint): void {
		const end = iova + size > this.pages.inputLast + 1n ? this.pages.inputLast + 1n : iova + size;
		if (iova >= end) return;
		if (this.pages.unmap(iova, end - iova) > 0n) this.invalidate(this, iova, end - iova);
	}

	trackDirty(on: boolean): void {
		if (on) throw new CoreError("Unsupported", "this table records no writes", { operation: "trackDirty", object: "table" });
	}

	readDirty(): void {}
}
