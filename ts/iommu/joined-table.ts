import type { AddressRange, IommuTable, TableRun, Window } from "../core/index.ts";
import type { EngineTable, Follower } from "./engine-table.ts";

const overlap = (window: AddressRange, first: bigint, last: bigint): AddressRange | null => {
	const from = window.first > first ? window.first : first;
	const to = window.last < last ? window.last : last;
	return from <= to ? { first: from, last: to } : null;
};

/** What one space shows of itself in a table that it shares with others: its windows. */
class JoinedPart implements Follower {
	/** null: the space's own table does not record */
	tracking: { split: boolean } | null = null;

	constructor(
		readonly table: EngineTable,
		private readonly windows: readonly Window[],
		private readonly owner: JoinedTable,
	) {}

	*pieces(iova = 0n, size = 1n << 64n): Iterable<AddressRange> {
		for (const window of this.windows) {
			const piece = overlap(window, iova, iova + size - 1n);
			if (piece !== null) yield piece;
		}
	}

	map(run: TableRun): void {
		this.owner.pages.map(run);
	}

	unmap(iova: bigint, size: bigint): void {
		for (const { first, last } of this.pieces(iova, size)) this.owner.pages.unmap(first, last - first + 1n);
	}

	trackDirty(on: boolean, split: boolean): void {
		this.owner.track(this, on ? { split } : null);
	}

	/** The space keeps what was written here. */
	keepWritten(): void {
		this.readDirty(0n, 1n << 64n, true, (iova, size) => this.table.keepWritten(iova, size));
	}

	readDirty(iova: bigint, size: bigint, clear: boolean, visit: (iova: bigint, size: bigint) => void): void {
		for (const { first, last } of this.pieces(iova, size)) this.owner.pages.readDirty(first, last - first + 1n, clear, visit);
	}
}

/**
 * The table of a requester that several windowed spaces share, for units whose hardware has one table for all addresses:
 * each space's own table tells it what changes, and asks it what was written.
 */
export class JoinedTable {
	readonly pages: EngineTable;
	private readonly parts: readonly JoinedPart[];

	/** @throws CoreError NoSpace, Exhausted */
	constructor(tables: ReadonlyArray<{ table: IommuTable; windows: readonly Window[] }>, create: (content: (range?: AddressRange) => Iterable<TableRun>) => IommuTable, private readonly destroy: (table: IommuTable) => void) {
		const parts = tables.map(({ table, windows }) => new JoinedPart(table as EngineTable, windows, this));
		this.parts = parts;
		function* content(range?: AddressRange): Iterable<TableRun> {
			for (const part of parts) for (const piece of part.pieces(range?.first, range === undefined ? undefined : range.last - range.first + 1n)) yield* part.table.contentOf(piece);
		}
		this.pages = create(content) as EngineTable;
		try {
			for (const part of parts) part.table.follow(part);
		} catch (error) {
			this.dispose();
			throw error;
		}
	}

	/** One space records otherwise from now on, and anew. @throws CoreError NoSpace: it records as before then */
	track(part: JoinedPart, how: { split: boolean } | null): void {
		const { tracking } = part;
		const now = this.wanted();
		part.tracking = how;
		const next = this.wanted();
		if (now?.split === next?.split) {
			part.readDirty(0n, 1n << 64n, true, () => {});
			return;
		}
		// to record otherwise is to forget
		for (const other of this.parts) if (other !== part && other.tracking !== null) other.keepWritten();
		try {
			this.pages.trackDirty(next !== null, next?.split ?? false);
		} catch (error) {
			part.tracking = tracking;
			throw error;
		}
	}

	private wanted(): { split: boolean } | null {
		const all = this.parts.flatMap(({ tracking }) => (tracking === null ? [] : [tracking]));
		return all.length === 0 ? null : { split: all.some(({ split }) => split) };
	}

	dispose(): void {
		for (const part of this.parts) part.table.unfollow(part);
		this.destroy(this.pages);
	}
}
