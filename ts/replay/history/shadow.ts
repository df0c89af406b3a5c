/**
 * What is mapped, and by which row: a table beside the engine's that remembers where each page came from and when it went.
 * Pages are 4 KiB; ranges are kept in the largest aligned blocks, so that large maps cost little.
 */
import type { Move } from "./kept.ts";
import { PageIndex, widened } from "../curve/page-index.ts";

/** lg2 4 KiB pages of a block, largest first: 256 TiB, 512 GiB, 1 GiB, 2 MiB, 4 KiB. */
const LEVELS = [36, 27, 18, 9, 0];
const CHILDREN = 512;

/** Told of every block that stops being mapped: the row that mapped it, and its pages. */
export type Cut = (mapRow: number, pages: number) => void;

export class ShadowTable {
	private readonly index = new PageIndex();
	/** by block: row of the map that holds it, else -1 */
	private live = new Int32Array(1024).fill(-1);
	private mapped = new Int32Array(1024).fill(-1);
	private unmapped = new Int32Array(1024).fill(-1);
	/** blocks mapped inside */
	private below = new Int32Array(1024);
	/** levels in use, as indices of LEVELS */
	private readonly used = LEVELS.map(() => false);

	/** Names every row that a block refers to. */
	rows(keep: (row: number) => void): void {
		for (const rows of [this.live, this.mapped, this.unmapped]) for (let item = 0; item < this.index.size; item++) keep(rows[item]);
	}

	/** Rows have become others, in the same order. */
	move(to: Move): void {
		for (const rows of [this.live, this.mapped, this.unmapped]) for (let item = 0; item < this.index.size; item++) rows[item] = to(rows[item]);
	}

	/** Maps `pages` from `first` on by `row`; `cut` is told of what that replaces. */
	map(space: number, first: number, pages: number, row: number, cut: Cut): void {
		this.pieces(first, pages, (level, block) => {
			this.openTo(space, level, block);
			this.clear(space, level, block, cut);
			this.hold(space, level, block, row);
		});
	}

	/** Unmaps `pages` from `first` on by `row`; `cut` is told of what was mapped. */
	unmap(space: number, first: number, pages: number, row: number, cut: Cut): void {
		this.pieces(first, pages, (level, block) => {
			this.openTo(space, level, block);
			this.clear(space, level, block, cut);
			this.unmapped[this.item(space, level, block)] = row;
		});
	}

	/** Row of the map that holds the page now; -1 when none does. */
	liveRow(space: number, page: number): number {
		return this.newest(this.live, space, page);
	}

	/** Row of the last map of the page; -1 when none was. */
	lastMap(space: number, page: number): number {
		return this.newest(this.mapped, space, page);
	}

	/** Row of the last unmap of the page, mapped or not; -1 when none was. */
	lastUnmap(space: number, page: number): number {
		return this.newest(this.unmapped, space, page);
	}

	private newest(rows: Int32Array, space: number, page: number): number {
		let newest = -1;
		for (let level = 0; level < LEVELS.length; level++) {
			if (!this.used[level]) continue;
			const item = this.find(space, level, Math.floor(page / 2 ** LEVELS[level]));
			if (item >= 0 && rows[item] > newest) newest = rows[item];
		}
		return newest;
	}

	/** The largest aligned blocks of a range. */
	private pieces(first: number, pages: number, each: (level: number, block: number) => void): void {
		const end = first + pages;
		for (let at = first; at < end; ) {
			const level = LEVELS.findIndex((lg2) => at % 2 ** lg2 === 0 && at + 2 ** lg2 <= end);
			const size = 2 ** LEVELS[level];
			each(level, at / size);
			at += size;
		}
	}

	private find(space: number, level: number, block: number): number {
		return this.index.find(space * LEVELS.length + level, block);
	}

	private item(space: number, level: number, block: number): number {
		const item = this.index.add(space * LEVELS.length + level, block);
		this.used[level] = true;
		if (item >= this.live.length) {
			const { length } = this.live;
			this.live = widened(this.live).fill(-1, length);
			this.mapped = widened(this.mapped).fill(-1, length);
			this.unmapped = widened(this.unmapped).fill(-1, length);
			this.below = widened(this.below);
		}
		return item;
	}

	private hold(space: number, level: number, block: number, row: number): void {
		const item = this.item(space, level, block);
		this.live[item] = row;
		if (row > this.mapped[item]) this.mapped[item] = row;
		this.countAbove(space, level, block, 1);
	}

	private countAbove(space: number, level: number, block: number, change: number): void {
		let at = block;
		for (let up = level - 1; up >= 0; up--) {
			at = Math.floor(at / CHILDREN);
			this.below[this.item(space, up, at)] += change;
		}
	}

	/** A mapped block around this one becomes smaller blocks of the same map. */
	private openTo(space: number, level: number, block: number): void {
		for (let up = 0; up < level; up++) {
			const around = Math.floor(block / 2 ** (LEVELS[up] - LEVELS[level]));
			const item = this.find(space, up, around);
			if (item < 0 || this.live[item] < 0) continue;
			const row = this.live[item];
			this.live[item] = -1;
			this.countAbove(space, up, around, -1);
			for (let child = 0; child < CHILDREN; child++) this.hold(space, up + 1, around * CHILDREN + child, row);
		}
	}

	private clear(space: number, level: number, block: number, cut: Cut): void {
		const item = this.find(space, level, block);
		if (item < 0) return;
		const row = this.live[item];
		if (row >= 0) {
			this.live[item] = -1;
			this.countAbove(space, level, block, -1);
			cut(row, 2 ** LEVELS[level]);
		} else if (this.below[item] > 0) {
			for (let child = 0; child < CHILDREN; child++) this.clear(space, level + 1, block * CHILDREN + child, cut);
		}
	}
}
