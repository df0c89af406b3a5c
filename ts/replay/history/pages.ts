/** The pages of a recorded run as its map and unmap rows leave them, row by row. */
import { pageOf } from "../rows.ts";
import { Kind } from "../trace.ts";
import type { Move } from "./kept.ts";
import { LifeTimeCounter } from "./life-times.ts";
import { ShadowTable } from "./shadow.ts";
import { type Events, wideAt } from "./words.ts";

export class PageHistory {
	readonly shadow = new ShadowTable();
	readonly lives: LifeTimeCounter;
	/** by device: devices of one domain share their pages */
	readonly spaces: number[];
	readonly spaceCount: number;
	/** maps and unmaps whose device nobody could tell */
	unowned = 0;

	constructor(private readonly trace: Events) {
		const byDomain = new Map<number, number>();
		let count = 0;
		this.spaces = trace.devices.map(({ domain }) => {
			const known = domain === null ? undefined : byDomain.get(domain);
			const space = known ?? count++;
			if (domain !== null) byDomain.set(domain, space);
			return space;
		});
		this.spaceCount = count;
		this.lives = new LifeTimeCounter(trace);
	}

	/** Names every row that anything here refers to. */
	rows(keep: (row: number) => void): void {
		this.shadow.rows(keep);
		this.lives.rows(keep);
	}

	/** Rows have become others. */
	move(to: Move): void {
		this.shadow.move(to);
		this.lives.move(to);
	}

	/** Takes a map or unmap row in; the pages that it is about, or null when it is about none. */
	edit(row: number): { space: number; first: number; pages: number } | null {
		const { columns } = this.trace;
		const space = this.spaces[columns.id[row]];
		const bytes = wideAt(columns.size, row);
		if (space === undefined) {
			this.unowned++;
			return null;
		}
		if (bytes === 0) return null;
		const first = pageOf(columns.iova, row);
		const pages = Math.floor(((columns.iova[2 * row] & 0xfff) + bytes - 1) / 4096) + 1;
		let gone = 0;
		const cut = (mapRow: number, count: number) => {
			gone += count;
			this.lives.cut(mapRow, count, row);
		};
		if (columns.kind[row] === Kind.map) {
			this.shadow.map(space, first, pages, row, cut);
			this.lives.mapped(row, pages);
		} else {
			this.shadow.unmap(space, first, pages, row, cut);
			if (gone === 0) this.lives.empty();
		}
		return { space, first, pages };
	}
}
