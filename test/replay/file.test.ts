/** The trace file of our own: what goes in comes out, and nothing that is broken passes for good. */
import { readFileSync } from "node:fs";
import { crc32 as zlibCrc32, gzipSync } from "node:zlib";
import { beforeAll, describe, expect, test } from "vitest";
import { crc32Table } from "../../ts/replay/file/crc32.ts";
import { encodeTrace, TraceFileEncoder } from "../../ts/replay/file/encode.ts";
import { BLOCK_BYTES, columnsAt, EVENT_BYTES } from "../../ts/replay/file/format.ts";
import { ReplayError } from "../../ts/replay/errors.ts";
import { importTrace } from "../../ts/replay/importers/import.ts";
import { replay, replayTrace } from "../../ts/replay/replay.ts";
import { joinColumns, slice } from "../../ts/replay/rows.ts";
import { openTrace } from "../../ts/replay/stream.ts";
import type { Columns, Trace } from "../../ts/replay/trace.ts";
import { anyTrace, plain } from "./columns.ts";

const CUT = new URL("../traces/vtd_mixed_cut.merged.csv.gz", import.meta.url).pathname;
const encoded = (trace: Trace) => new Uint8Array(Buffer.concat([...encodeTrace(trace)]));
const named = (data: Uint8Array, name = "x.iot") => ({ name, data });

/** Where each block of a file begins and what it is. */
function blocks(bytes: Uint8Array): { at: number; type: string; end: number }[] {
	const view = new DataView(bytes.buffer, bytes.byteOffset);
	const found = [];
	for (let at = 16; at < bytes.length; ) {
		const end = at + BLOCK_BYTES + Math.ceil(view.getUint32(at + 12, true) / 8) * 8;
		found.push({ at, type: Buffer.from(bytes.subarray(at, at + 4)).toString("latin1"), end });
		at = end;
	}
	return found;
}

let trace: Trace;
let bytes: Uint8Array;
beforeAll(() => {
	trace = anyTrace(150_000);
	bytes = encoded(trace);
});

describe("a round trip", () => {
	test("keeps every column, the dictionary and the notes", async () => {
		const back = await importTrace(named(bytes));
		expect(plain(back.columns)).toEqual(plain(trace.columns));
		expect(back).toMatchObject({ architecture: "smmuv3", stage: "first", devices: trace.devices, files: ["x.iot"] });
		expect(back.report).toEqual({ lines: 0, ignoredLines: 0, damagedLines: 0, damage: [], notes: ["a note", "made of any"] });
	});

	test("in pieces of any size, gzipped, and as a stream of chunks", async () => {
		const small = encoded(anyTrace(200, 7));
		const whole = await importTrace(named(small));
		for (const piece of [1, 7, 33, 4096]) {
			let at = 0;
			const stream = new ReadableStream<Uint8Array>({
				pull(controller) {
					if (at >= small.length) return controller.close();
					controller.enqueue(small.slice(at, at + piece));
					at += piece;
				},
			});
			expect(plain((await importTrace(stream)).columns)).toEqual(plain(whole.columns));
		}
		expect(plain((await importTrace(new Uint8Array(gzipSync(small)))).columns)).toEqual(plain(whole.columns));
		const { head, chunks } = await openTrace(named(bytes), { stream: true });
		expect(head).toMatchObject({ events: 150_000, devices: trace.devices });
		const parts: Columns[] = [];
		for await (const part of chunks()) parts.push(part);
		expect(parts.map(({ length }) => length)).toEqual([65_536, 65_536, 18_928]);
		expect(plain(joinColumns(parts))).toEqual(plain(trace.columns));
	});

	test("a trace without events, and a dictionary that grows", async () => {
		const empty = await importTrace(named(encoded(anyTrace(0))));
		expect(empty.columns.length).toBe(0);
		expect(empty.report.damagedLines).toBe(0);
		const encoder = new TraceFileEncoder();
		const { devices } = trace;
		const head = { ...trace, notes: [] };
		const first = anyTrace(300, 3);
		first.columns.id.fill(0);
		const parts = [encoder.start({ ...head, devices: [{ ...devices[0], domain: null }] }), encoder.events(first.columns), encoder.dictionary(head), encoder.end()];
		const grown = await importTrace(named(new Uint8Array(Buffer.concat(parts))));
		expect(grown.devices).toEqual(devices);
	});

	test("a chunk lies in the file as in the engine's buffer", () => {
		const { at, end } = blocks(bytes).find(({ type }) => type === "EVTS") as { at: number; end: number };
		expect(at % 8).toBe(0);
		expect(end - at - BLOCK_BYTES).toBe(EVENT_BYTES * 65_536);
		expect(plain(columnsAt(bytes.buffer as ArrayBuffer, at + BLOCK_BYTES, 65_536))).toEqual(plain(slice(trace.columns, 0, 65_536)));
	});

	test("of a recorded run replays to the same figures, whole and chunk by chunk", async () => {
		const recorded = await importTrace(CUT);
		const file = encoded(recorded);
		const timeless = ({ seconds: _, eventsPerSecond: __, importSeconds: ___, ...rest }: Awaited<ReturnType<typeof replay>>) => ({ ...rest, notes: [] });
		for (const options of [{}, { iotlb: "qemu-7.2" }, { device: "00:01.0", limit: 70_000 }, { from: 5_000_000, to: 9_000_000 }, { iotlb: { sets: 1, ways: 512 }, ignoreInvalidations: true }] as const) {
			const whole = "from" in options ? await importTrace(CUT, options) : recorded;
			const expected = timeless(await replayTrace(whole, options));
			for (const source of [CUT, named(file)]) expect(timeless(await replay(source, { ...options, stream: true }))).toEqual(expected);
		}
		expect((await replayTrace(recorded)).disagreements).toEqual([]);
	});
});

describe("damage", () => {
	test("a cut file is read to its last whole chunk, and says so", async () => {
		const found = blocks(bytes);
		const chunks = found.filter(({ type }) => type === "EVTS");
		const ends = [chunks[0].end, chunks[1].end, chunks[1].end + 1, chunks[2].at + 5000, chunks[2].end, bytes.length - 1];
		for (const end of ends) {
			const whole = chunks.filter((chunk) => chunk.end <= end).length;
			const cut = await importTrace(named(bytes.slice(0, end)));
			expect(cut.columns.length).toBe(Math.min(whole * 65_536, 150_000));
			expect(cut.report.damage).toEqual([{ file: "x.iot", line: null, what: expect.stringContaining(`cut: it ends after ${whole} whole chunks`) }]);
			await expect(importTrace(named(bytes.slice(0, end)), { strict: true })).rejects.toMatchObject({ code: "damaged", message: expect.stringContaining("cut") });
		}
		const head = await importTrace(named(bytes.slice(0, 12)));
		expect(head.report.damage[0].what).toContain("in its head");
	});

	test("any flipped bit is an error, which names the chunk", async () => {
		const small = encoded(anyTrace(30, 5));
		for (let bit = 8 * 8; bit < 8 * small.length; bit += 37) {
			const flipped = small.slice();
			flipped[bit >> 3] ^= 1 << (bit & 7);
			const error = await importTrace(named(flipped)).then(() => null, (thrown) => thrown);
			if (!(error instanceof ReplayError) || error.code !== "damaged") throw new Error(`bit ${bit}: ${error}`);
		}
		const chunks = blocks(bytes).filter(({ type }) => type === "EVTS");
		const flipped = bytes.slice();
		flipped[chunks[1].at + BLOCK_BYTES + 12_345] ^= 16;
		await expect(importTrace(named(flipped))).rejects.toMatchObject({ code: "damaged", message: "x.iot: chunk 1 (from event 65536): the payload's CRC is wrong" });
		// also when only the second reading meets it
		await expect(replay(named(flipped), { stream: true })).rejects.toMatchObject({ code: "damaged" });
	});

	test("chunks that are lost, doubled or moved, and bytes after the end", async () => {
		const of = (end: number) => bytes.subarray(0, end);
		const chunks = blocks(bytes).filter(({ type }) => type === "EVTS");
		const [a, b] = chunks.map(({ at, end }) => bytes.subarray(at, end));
		const rest = bytes.subarray(chunks[2].at);
		for (const parts of [[of(chunks[0].at), b, a, rest], [of(chunks[0].at), a, a, b, rest], [of(chunks[0].at), a, rest], [bytes, new Uint8Array(1)], [of(16), a]]) {
			await expect(importTrace(named(new Uint8Array(Buffer.concat(parts))))).rejects.toMatchObject({ code: "damaged" });
		}
	});

	test("values that no event has, behind a right CRC", async () => {
		const broken: [string, (columns: Columns) => void][] = [
			["kind 9", (c) => c.kind.fill(9, 17, 18)],
			["device 4 of 4", (c) => [c.kind.fill(1, 17, 18), c.id.fill(4, 17, 18)]],
			["scope 6", (c) => [c.kind.fill(4, 17, 18), c.flags.fill(6, 17, 18)]],
			["verdict 3", (c) => c.verdict.fill(3, 17, 18)],
			["time NaN", (c) => c.time.fill(Number.NaN, 17, 18)],
			["time -1", (c) => c.time.fill(-1, 17, 18)],
		];
		for (const [what, damage] of broken) {
			const wrong = anyTrace(40, 11);
			damage(wrong.columns);
			await expect(importTrace(named(encoded(wrong)))).rejects.toMatchObject({ code: "damaged", message: expect.stringContaining(`event 17: ${what}`) });
		}
		const device = { segment: 0, rid: 70_000, name: "x", domain: null, levels: null };
		for (const wrong of [{ devices: [device] }, { architecture: "m68k" }, { stage: "third" }, { notes: [3] }, { devices: "none" }]) {
			const encoder = new TraceFileEncoder();
			const file = Buffer.concat([encoder.start({ ...anyTrace(0), notes: [], ...wrong } as never), encoder.end()]);
			await expect(importTrace(named(new Uint8Array(file)))).rejects.toMatchObject({ code: "damaged", message: expect.stringContaining("dictionary") });
		}
	});

	test("an unknown version is named", async () => {
		const next = bytes.slice();
		const view = new DataView(next.buffer);
		view.setUint32(8, 2, true);
		view.setUint32(12, zlibCrc32(next.subarray(0, 12)), true);
		await expect(importTrace(named(next))).rejects.toMatchObject({ code: "version", message: "x.iot: trace file of version 2; this ioasid reads version 1" });
	});
});

test("the CRC without Node is the one with it", () => {
	const data = readFileSync(CUT).subarray(0, 100_001);
	expect(crc32Table(data)).toBe(zlibCrc32(data));
	expect(crc32Table(Buffer.from("123456789"))).toBe(0xcbf43926);
});
