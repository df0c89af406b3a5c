/** Other formats: every column comes back as it was, and other programs read the files. */
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { DuckDBInstance } from "@duckdb/node-api";
import { tableFromIPC } from "apache-arrow";
import { parquetMetadata } from "hyparquet";
import { afterAll, describe, expect, test } from "vitest";
import { exporterFor, exporters } from "../../ts/replay/exporters/index.ts";
import { importTrace } from "../../ts/replay/importers/import.ts";
import { optional } from "../../ts/replay/optional.ts";
import { openTrace, streamOf } from "../../ts/replay/stream.ts";
import type { Trace } from "../../ts/replay/trace.ts";
import { anyTrace, plain } from "./columns.ts";

const CUT = new URL("../traces/vtd_mixed_cut.merged.csv.gz", import.meta.url).pathname;
const FAULTS = ["qemu.log.gz", "guest_ftrace.txt.gz"].map((name) => new URL(`../traces/vtd_faults_edu.${name}`, import.meta.url).pathname);
const dir = mkdtempSync(join(tmpdir(), "ioasid-"));
afterAll(() => rmSync(dir, { recursive: true }));

async function encode(name: string, trace: Trace): Promise<Uint8Array> {
	const exporter = exporters.find((one) => one.name === name);
	if (exporter === undefined) throw new Error(name);
	const pieces: Uint8Array[] = [];
	for await (const piece of exporter.encode(streamOf(trace))) pieces.push(piece);
	return new Uint8Array(Buffer.concat(pieces));
}

const NAMES = ["trace-file", "merged-csv", "arrow", "parquet"];

describe.each(NAMES)("%s", (name) => {
	test("keeps every column of anything, the dictionary and the notes", async () => {
		// more than one chunk, and one that is not full
		const trace = anyTrace(70_000, 42);
		const back = await importTrace({ name: "x", data: await encode(name, trace) }, { strict: true });
		expect(plain(back.columns)).toEqual(plain(trace.columns));
		expect(back).toMatchObject({ architecture: trace.architecture, stage: trace.stage, devices: trace.devices });
		expect(back.report.notes).toEqual(["a note", "made of any"]);
	});

	test("keeps recorded runs, joined and raw", async () => {
		for (const sources of [CUT, FAULTS]) {
			const trace = await importTrace(sources);
			const back = await importTrace({ name: "x", data: await encode(name, trace) });
			expect(plain(back.columns)).toEqual(plain(trace.columns));
			expect(back.devices).toEqual(trace.devices);
			// once more, from there: nothing is added
			const again = await importTrace({ name: "y", data: await encode(name, back) });
			expect(again.report.notes).toEqual(back.report.notes);
		}
	});

	test("keeps a trace without events", async () => {
		const back = await importTrace({ name: "x", data: await encode(name, anyTrace(0)) });
		expect(back.columns.length).toBe(0);
		expect(back.devices).toHaveLength(4);
	});
});

describe("merged CSV", () => {
	test("streams with its dictionary, and names a broken one", async () => {
		const trace = anyTrace(100, 9);
		const bytes = await encode("merged-csv", trace);
		const { head, chunks } = await openTrace({ name: "x", data: bytes }, { stream: true });
		expect(head).toMatchObject({ devices: trace.devices, stage: "first", events: 100 });
		for await (const columns of chunks()) expect(plain(columns)).toEqual(plain(trace.columns));
		const text = new TextDecoder().decode(bytes);
		for (const [from, to] of [['"rid":8', '"rid":-8'], ["# ioasid {", "# ioasid "]]) {
			await expect(importTrace({ name: "x.csv", data: text.replace(from, to) })).rejects.toMatchObject({ code: "damaged", file: "x.csv", line: 2, message: expect.stringContaining("the dictionary") });
		}
	});
});

describe("other programs", () => {
	test("DuckDB reads the Parquet file to the same sums", async () => {
		const trace = anyTrace(70_000, 4);
		const path = join(dir, "any.parquet");
		writeFileSync(path, await encode("parquet", trace));
		const connection = await (await DuckDBInstance.create(":memory:")).connect();
		const types = await connection.runAndReadAll(`DESCRIBE SELECT * FROM '${path}'`);
		expect(types.getRows().map(([name, type]) => `${name} ${type}`)).toEqual([
			"time DOUBLE", "kind UTINYINT", "id UINTEGER", "iova UBIGINT", "size UBIGINT", "pa UBIGINT", "flags UTINYINT", "pasid UINTEGER", "verdict UTINYINT",
		]);
		const rows = await connection.runAndReadAll(`SELECT time, kind, id, iova, size, pa, flags, pasid, verdict FROM '${path}'`);
		const read = rows.getColumns();
		const { columns } = trace;
		const wide = (column: Uint32Array) => Array.from(new BigUint64Array(column.slice(0, 2 * columns.length).buffer));
		const expected = [columns.time, columns.kind, columns.id, wide(columns.iova), wide(columns.size), wide(columns.pa), columns.flags, columns.pasid, columns.verdict];
		for (const [i, column] of expected.entries()) {
			const row = Array.from(column as ArrayLike<unknown>).findIndex((value, j) => value !== read[i][j]);
			expect(row, `column ${i}`).toBe(-1);
		}
		// filters use the row groups' statistics, in which unsigned values are easy to get wrong
		const most = wide(columns.iova).reduce((a, b) => (a > b ? a : b));
		const found = await connection.runAndReadAll(`SELECT count(*) FROM '${path}' WHERE iova = ${most} AND pasid IN (SELECT max(pasid) FROM '${path}') OR iova > ${most}`);
		const [[count]] = found.getRows();
		expect(count).toBe(BigInt(wide(columns.iova).filter((iova, row) => iova === most && columns.pasid[row] === 0xffffffff).length));
	});

	test("a Parquet file that DuckDB has written over has no dictionary, which is said", async () => {
		const [path, other] = [join(dir, "a.parquet"), join(dir, "b.parquet")];
		writeFileSync(path, await encode("parquet", anyTrace(10)));
		const connection = await (await DuckDBInstance.create(":memory:")).connect();
		await connection.run(`COPY (SELECT * FROM '${path}') TO '${other}' (FORMAT parquet)`);
		await expect(importTrace(other)).rejects.toMatchObject({ code: "damaged", message: expect.stringContaining('b.parquet: no "ioasid" dictionary') });
	});

	test("the libraries' own readers find the metadata", async () => {
		const trace = anyTrace(100);
		const table = tableFromIPC(await encode("arrow", trace));
		expect(table.schema.fields.map(String)).toContain("iova: Uint64");
		expect(JSON.parse(table.schema.metadata.get("ioasid") as string).devices).toEqual(trace.devices);
		const bytes = await encode("parquet", trace);
		expect(parquetMetadata(bytes.buffer as ArrayBuffer).key_value_metadata?.map(({ key }) => key)).toEqual(["ioasid"]);
	});
});

test("damaged Arrow and Parquet files are errors that name the file", async () => {
	for (const name of ["arrow", "parquet"]) {
		const bytes = await encode(name, anyTrace(1000));
		await expect(importTrace({ name: "x", data: bytes.slice(0, bytes.length - 20) })).rejects.toMatchObject({ code: "damaged", file: "x" });
		await expect(importTrace({ name: "x", data: bytes.slice(0, 40) })).rejects.toMatchObject({ code: "damaged", file: "x" });
	}
});

test("a package that is not there is one clear line", async () => {
	await expect(optional("no-such-package-as-this", "Parquet", "a b")).rejects.toMatchObject({
		code: "absent",
		message: "Parquet needs the package no-such-package-as-this, which is not installed: npm install a b",
	});
});

test("names say the format", () => {
	expect(["a.iot", "a.IOT.gz", "b.merged.csv.gz", "c.feather", "d.parquet", "e.txt"].map((path) => exporterFor(path)?.name ?? null)).toEqual(["trace-file", "trace-file", "merged-csv", "arrow", "parquet", null]);
});
