/** How many 4 KiB frames the tables of a trace can take at most. */
import { type Columns, Kind } from "./trace.ts";

/** More than fit an engine's 4 GiB: counting goes no further, and the engine says what it lacks. */
const MOST = 1 << 20;

/** Counts one frame for each 2 MiB and each 1 GiB that a device ever maps in, as events pass by. */
export class TableFrames {
	private readonly seen = new Set<number>();

	add(columns: Columns): void {
		const cell = (device: number, level: number, index: number) => ((index * 65536 + (device & 0xffff)) % Number.MAX_SAFE_INTEGER) * 2 + level;
		for (let i = 0; i < columns.length; i++) {
			if (columns.kind[i] !== Kind.map || this.seen.size > MOST) continue;
			const first = columns.iova[2 * i + 1] * 2048 + (columns.iova[2 * i] >>> 21);
			const span = columns.size[2 * i + 1] * 2048 + (columns.size[2 * i] >>> 21) + 1;
			for (let at = first; at <= first + Math.min(span, 4096); at++) this.seen.add(cell(columns.id[i], 0, at));
			this.seen.add(cell(columns.id[i], 1, Math.floor(first / 512)));
		}
	}

	/** With the upper levels of `devices` devices and some to spare. */
	total(devices: number): number {
		return 512 + 8 * devices + this.seen.size;
	}
}
