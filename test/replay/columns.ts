/** Columns that hold everything a trace can hold, for round trips. */
import { createHash } from "node:crypto";
import { RowBuffer, setPair } from "../../ts/replay/rows.ts";
import { makeReport } from "../../ts/replay/importers/reading.ts";
import { Access, type Columns, Kind, NO_DEVICE, NO_PASID, Scope, type Trace, Verdict } from "../../ts/replay/trace.ts";

/** xorshift32 */
export function generator(seed: number): (below: number) => number {
	let x = seed | 1;
	return (below) => {
		x ^= x << 13;
		x ^= x >>> 17;
		x ^= x << 5;
		return (x >>> 0) % below;
	};
}

/** A trace of `length` random rows: every kind, flag and scope, 64-bit values, times that are no decimals, unowned unmaps. */
export function anyTrace(length: number, seed = 1): Trace {
	const random = generator(seed);
	const word = () => (random(2) === 0 ? random(0xffffffff) : random(4) * 4096);
	const rows = new RowBuffer();
	let time = 0;
	const choose = <T>(...of: T[]) => of[random(of.length)];
	for (let i = 0; i < length; i++) {
		const kind = 1 + random(5);
		const inv = kind === Kind.invalidate;
		const id = inv ? random(0xffff) : random(50) === 0 && kind === Kind.unmap ? NO_DEVICE : random(4);
		const row = rows.add(kind, time, id);
		time += choose(0, 0.1, 1 / 3, 1e-7, 12345.678901);
		const { columns } = rows;
		setPair(columns.iova, row, word(), word());
		setPair(columns.size, row, word(), inv ? 0 : random(3) === 0 ? word() : 0);
		if (kind !== Kind.unmap && !inv) setPair(columns.pa, row, word(), kind === Kind.fault ? 0 : word());
		columns.pasid[row] = random(3) === 0 ? random(1 << 20) : NO_PASID;
		columns.flags[row] =
			kind === Kind.unmap ? 0
			: inv ? choose(...Object.values(Scope))
			: kind === Kind.map ? choose(0, 1, 2, 3)
			: choose(...Object.values(Access));
		if (kind === Kind.dma) columns.verdict[row] = choose(...Object.values(Verdict));
	}
	return {
		architecture: "smmuv3",
		stage: "first",
		files: ["any"],
		devices: [
			{ segment: 0, rid: 8, name: "0000:00:01.0", domain: 3, levels: 4 },
			{ segment: 2, rid: 0xffff, name: "0002:ff:1f.7", domain: null, levels: null },
			{ segment: 0, rid: 16, name: "gpu, \"left\"", domain: 0, levels: null },
			{ segment: 0x10000, rid: 0, name: "10000:00:00.0", domain: 0xffff, levels: 3 },
		],
		columns: rows.take(),
		report: { ...makeReport(), notes: ["a note"] },
	};
}

/** The bytes of every column, cut to its length: two are equal when nothing was lost, and quick to compare. */
export function plain(columns: Columns): Record<string, string> {
	const { length } = columns;
	const out: Record<string, string> = { length: String(length) };
	for (const name of ["time", "kind", "flags", "verdict", "id", "pasid", "iova", "size", "pa"] as const) {
		const column = columns[name].subarray(0, name === "iova" || name === "size" || name === "pa" ? 2 * length : length);
		const bytes = Buffer.from(column.buffer, column.byteOffset, column.byteLength);
		out[name] = bytes.length > 10_000 ? createHash("sha256").update(bytes).digest("hex") : bytes.toString("hex");
	}
	return out;
}
