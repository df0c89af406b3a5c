/** The maps of one device that hold a page now. */

/** A map, and what is left of it. Pages are numbers of 4 KiB pages. */
export interface LiveMap {
	/** counts maps from 0 */
	id: number;
	rights: number;
	/** pages that are still mapped */
	left: number;
}

/** A stretch of a map that no unmap has touched. */
interface Piece {
	map: LiveMap;
	first: number;
	pages: number;
}

export class LiveMaps {
	/** pages mapped now */
	pages = 0;
	private readonly pieces = new Set<Piece>();
	/** most unmaps name exactly what was mapped */
	private readonly byStart = new Map<number, Piece>();

	/** Nothing of the range may be mapped: {@link unmap} it before when a map replaces. */
	map(id: number, first: number, pages: number, rights: number): void {
		this.add({ map: { id, rights, left: pages }, first, pages });
		this.pages += pages;
	}

	/** Takes the range away; `ended` is told of every map that has no page left. */
	unmap(first: number, pages: number, ended: (map: LiveMap) => void): void {
		const exact = this.byStart.get(first);
		if (exact !== undefined && exact.pages === pages) {
			this.take(exact, 0, pages, ended);
			return;
		}
		for (const piece of [...this.pieces]) {
			const from = Math.max(first, piece.first);
			const to = Math.min(first + pages, piece.first + piece.pages);
			if (from < to) this.take(piece, from - piece.first, to - piece.first, ended);
		}
	}

	/** Every map that still holds a page. */
	all(): Set<LiveMap> {
		return new Set(Array.from(this.pieces, ({ map }) => map));
	}

	private take(piece: Piece, from: number, to: number, ended: (map: LiveMap) => void): void {
		const { map, first, pages } = piece;
		this.pieces.delete(piece);
		this.byStart.delete(first);
		if (from > 0) this.add({ map, first, pages: from });
		if (to < pages) this.add({ map, first: first + to, pages: pages - to });
		map.left -= to - from;
		this.pages -= to - from;
		if (map.left === 0) ended(map);
	}

	private add(piece: Piece): void {
		this.pieces.add(piece);
		this.byStart.set(piece.first, piece);
	}
}
