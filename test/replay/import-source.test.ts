/** Inputs of every kind, and inputs that are damaged, foreign, absent or given up on. */
import { readFileSync } from "node:fs";
import { gunzipSync, gzipSync } from "node:zlib";
import { afterEach, describe, expect, test, vi } from "vitest";
import { importTrace } from "../../ts/replay/importers/import.ts";
import type { Progress, Source } from "../../ts/replay/source.ts";
import { Kind } from "../../ts/replay/trace.ts";

const path = (name: string) => new URL(`fixtures/${name}`, import.meta.url).pathname;
const MERGED = path("vtd_mixed_cut.merged.csv.gz");
const QEMU = path("vtd_faults_edu.qemu.log.gz");
const packed = new Uint8Array(readFileSync(MERGED));
const plain = new Uint8Array(gunzipSync(packed));
const qemuText = gunzipSync(readFileSync(QEMU)).toString("latin1");
const ROWS = 799;

function streamOf(data: Uint8Array, chunk: number): ReadableStream<Uint8Array> {
	let at = 0;
	return new ReadableStream({
		pull(controller) {
			if (at >= data.length) return controller.close();
			controller.enqueue(data.slice(at, at + chunk));
			at += chunk;
		},
	});
}

afterEach(() => vi.unstubAllGlobals());

describe("sources", () => {
	const sources: [string, () => Source][] = [
		["a path", () => MERGED],
		["bytes", () => plain],
		["gzipped bytes", () => packed],
		["a Blob", () => new Blob([plain])],
		["a gzipped File", () => new File([packed], "x.csv.gz")],
		["a stream of small pieces", () => streamOf(plain, 7)],
		["a gzipped stream of single bytes", () => streamOf(packed, 1)],
		["named text", () => ({ name: "a.csv", data: new TextDecoder().decode(plain) })],
		["two gzip members", () => new Uint8Array(Buffer.concat([gzipSync(plain.subarray(0, 5000)), gzipSync(plain.subarray(5000))]))],
	];
	test.each(sources)("%s", async (_, make) => {
		const trace = await importTrace(make());
		expect(trace.columns.length).toBe(ROWS);
		expect(trace.report).toMatchObject({ lines: ROWS + 1, damagedLines: 0, ignoredLines: 1 });
	});

	test("zstd, in one piece, in bytes, and in two frames", async () => {
		const expected = (await importTrace(plain)).columns;
		const zstd = new Uint8Array(readFileSync(`${MERGED.slice(0, -3)}.zst`));
		for (const source of [zstd, streamOf(zstd, 7), streamOf(zstd, 999), `${MERGED.slice(0, -3)}.zst`]) expect((await importTrace(source)).columns).toEqual(expected);
		const twice = await importTrace(Buffer.concat([zstd, zstd]));
		expect(twice.columns.length).toBe(2 * ROWS);
	});

	test("zstd that is cut or broken: what was decoded is used, and it is told", async () => {
		const zstd = new Uint8Array(readFileSync(`${MERGED.slice(0, -3)}.zst`));
		const whole = Buffer.concat([zstd, zstd]);
		const cut = await importTrace(whole.subarray(0, zstd.length + 2000));
		expect(cut.columns.length).toBeGreaterThanOrEqual(ROWS);
		expect(cut.report.damage.at(0)?.what).toMatch(/zstd/);
		whole.fill(0xff, zstd.length + 100, zstd.length + 1500);
		const broken = await importTrace(whole);
		expect(broken.columns.length).toBeGreaterThanOrEqual(ROWS);
		expect(broken.report.damage.at(0)?.what).toMatch(/zstd/);
	});

	test("zstd without anything that can read it says so in one line", async () => {
		vi.doMock("fzstd", () => {
			throw new Error("not installed");
		});
		const zstd = new Uint8Array(readFileSync(`${MERGED.slice(0, -3)}.zst`));
		const outcome = await importTrace({ name: "a.zst", data: zstd }).catch((error) => error);
		vi.doUnmock("fzstd");
		// Node 22.15 and later reads it by itself
		if (!("createZstdDecompress" in process.getBuiltinModule("node:zlib"))) expect(outcome).toMatchObject({ code: "unreadable", message: "a.zst: zstd needs Node 22.15 or later, or the package fzstd (npm install fzstd)" });
	});

	test("names and progress", async () => {
		const seen: Progress[] = [];
		const trace = await importTrace(MERGED, { onProgress: (progress) => seen.push(progress) });
		expect(trace.files).toEqual(["vtd_mixed_cut.merged.csv.gz"]);
		expect(seen.at(-1)).toEqual({ file: trace.files[0], loaded: packed.length, total: packed.length });
		expect((await importTrace(new File([packed], "x.csv.gz"))).files).toEqual(["x.csv.gz"]);
	});

	test("without Node's zlib, as in a browser", async () => {
		// the runner itself needs the rest of `process`
		const builtin = vi.spyOn(process, "getBuiltinModule").mockReturnValue(undefined as never);
		const whole = await importTrace(streamOf(packed, 1000));
		const cut = await importTrace(new Blob([packed.slice(0, packed.length - 100)]));
		await expect(importTrace(MERGED)).rejects.toMatchObject({ code: "unreadable" });
		builtin.mockRestore();
		expect(whole.columns.length).toBe(ROWS);
		expect(cut.columns.length).toBeGreaterThan(500);
		expect(cut.report.damage.at(0)?.what).toMatch(/ends in the middle/);
	});

	test("CRLF reads as LF", async () => {
		const crlf = new TextDecoder().decode(plain).replaceAll("\n", "\r\n");
		for (const chunk of [1, 100, 1 << 20]) {
			const trace = await importTrace(streamOf(new TextEncoder().encode(crlf), chunk));
			expect(trace.columns).toEqual((await importTrace(plain)).columns);
		}
	});

	test("an absent file, a directory, an empty and a foreign one", async () => {
		await expect(importTrace("/nonexistent/file.log")).rejects.toMatchObject({ code: "unreadable", file: "file.log", message: expect.stringContaining("no such file") });
		await expect(importTrace(path(""))).rejects.toMatchObject({ code: "unreadable" });
		await expect(importTrace(new Uint8Array(0))).rejects.toMatchObject({ code: "unrecognised", message: expect.stringContaining("empty") });
		await expect(importTrace({ name: "poem.txt", data: "Tyger Tyger, burning bright,\nIn the forests of the night;\n" })).rejects.toMatchObject({ code: "unrecognised", file: "poem.txt" });
		await expect(importTrace([])).rejects.toMatchObject({ code: "mismatch" });
	});

	test("a signal stops the import with its reason", async () => {
		const reason = new Error("enough");
		await expect(importTrace(MERGED, { signal: AbortSignal.abort(reason) })).rejects.toBe(reason);
		const control = new AbortController();
		let cancelled = false;
		const endless = new ReadableStream<Uint8Array>({
			pull(controller) {
				controller.enqueue(plain);
			},
			cancel() {
				cancelled = true;
			},
		});
		const onProgress = ({ loaded }: Progress) => {
			if (loaded > 20 * plain.length) control.abort(reason);
		};
		await expect(importTrace(endless, { signal: control.signal, onProgress })).rejects.toBe(reason);
		expect(cancelled).toBe(true);
	});
});

describe("damage", () => {
	test("gzip cut anywhere: what was decoded is used, and the cut is reported", async () => {
		let before = -1;
		for (const share of [0.3, 0.6, 0.95]) {
			const trace = await importTrace(packed.slice(0, Math.floor(packed.length * share)));
			expect(trace.columns.length).toBeGreaterThan(before);
			before = trace.columns.length;
			expect(trace.report.damage[0]).toMatchObject({ file: "(bytes)", what: expect.stringContaining("ends in the middle") });
			expect(trace.report.damage[0].line).toBeGreaterThan(0);
		}
		expect(before).toBeGreaterThan(0.8 * ROWS);
	});

	test("broken gzip", async () => {
		const broken = packed.slice();
		broken.fill(0xff, 4000, 4100);
		const trace = await importTrace(broken).catch((error) => error);
		// depending on where the broken code strikes, there is a start to use or none
		if (trace instanceof Error) expect(trace).toMatchObject({ code: "unrecognised" });
		else expect(trace.report.damage.some(({ what }: { what: string }) => what.includes("gzip data is broken"))).toBe(true);
	});

	test("a log cut in the middle of a line does not guess the rest", async () => {
		const at = qemuText.lastIndexOf("vtd_dmar_translate");
		const cut = qemuText.slice(0, qemuText.indexOf("gpa 0x", at) + 8);
		const trace = await importTrace({ name: "cut.log", data: cut });
		const lines = cut.split("\n").length;
		expect(trace.report.damage).toEqual([{ file: "cut.log", line: lines, what: expect.stringContaining("ends in the middle") }]);
		const whole = await importTrace({ name: "whole.log", data: `${cut.slice(0, cut.lastIndexOf("\n"))}\n` });
		expect(trace.columns.length).toBe(whole.columns.length);
	});

	test("unreadable lines are counted with their place; unknown ones are not damage", async () => {
		const lines = qemuText.split("\n");
		const first = lines.findIndex((line) => line.includes("vtd_dmar_translate"));
		lines[first] = lines[first].replace("iova 0x", "iova 0y");
		const fault = lines.findIndex((line) => line.includes("vtd_dmar_fault"));
		lines[fault] = lines[fault].replace(/ write.*/, "");
		lines.splice(3, 0, "qemu-system-x86_64: warning: something", "", "vtd_brand_new_event 0x1");
		const trace = await importTrace({ name: "q.log", data: lines.join("\n") });
		expect(trace.report.damagedLines).toBe(2);
		expect(trace.report.damage.map(({ line }) => line)).toEqual([first + 4, fault + 4]);
		expect(Array.from(trace.columns.kind).filter((kind) => kind === Kind.dma).length).toBe(349);
	});

	test("strict stops at the first", async () => {
		const broken = qemuText.replace("iova 0xffffe000 ->", "iova ->");
		const line = broken.split("\n").findIndex((text) => text.includes("iova ->")) + 1;
		await expect(importTrace({ name: "q.log", data: broken }, { strict: true })).rejects.toMatchObject({
			code: "damaged",
			file: "q.log",
			line,
			message: expect.stringContaining(`q.log:${line}: cannot read`),
		});
		await expect(importTrace(packed.slice(0, 3000), { strict: true })).rejects.toMatchObject({ code: "damaged" });
	});

	test("at most 100 are kept", async () => {
		const broken = qemuText.replaceAll(" addr 0x", " addr ");
		const { report } = await importTrace({ name: "q.log", data: broken });
		expect(report.damagedLines).toBeGreaterThan(592);
		expect(report.damage.length).toBe(100);
	});
});
