import { EngineError, type PageTable } from "../engine/index.ts";
import type { Area } from "./area.ts";
import { CoreError } from "./errors.ts";
import type { Domain, IommuDriver } from "./iommu-driver.ts";
import { PAGE } from "./process.ts";

const REASONS = { Occupied: "Occupied", Misaligned: "Misaligned", OutOfRange: "Unsupported", OutOfFrames: "NoSpace", Permission: "Unsupported" } as const;

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

/** A space's table in the format of one unit: what the areas say, page by page, with the pages pinned. */
export class MappedTable {
	/** attachments that use it */
	users = 0;

	constructor(
		readonly iommu: IommuDriver,
		readonly domain: Domain,
	) {}

	get pages(): PageTable {
		return this.domain.table;
	}

	/** Pin the area's pages and map them. @throws CoreError; neither pins nor pages of the area remain then */
	fill(area: Area): void {
		const size = area.last - area.first + 1n;
		const frames = area.source.pin(area.offset, size);
		let done = 0n;
		try {
			// runs of frames that follow one another make larger leaves
			for (let i = 0; i < frames.length; ) {
				let n = 1;
				while (i + n < frames.length && frames[i + n] === frames[i] + BigInt(n) * PAGE) n++;
				this.pages.map(area.first + done, frames[i], BigInt(n) * PAGE, area.permissions);
				done += BigInt(n) * PAGE;
				i += n;
			}
		} catch (error) {
			if (done > 0n) this.pages.unmap(area.first, done);
			area.source.unpin(area.offset, size);
			throw refused(error, "MappedTable.fill", "table");
		}
	}

	/** Unmap an area, drop its cached answers, then let its pages go. */
	clear(area: Area): void {
		const size = area.last - area.first + 1n;
		this.pages.unmap(area.first, size);
		this.iommu.invalidate(this.domain, area.first, area.last);
		area.source.unpin(area.offset, size);
	}
}
