/** Damaged recordings of every format: told or counted, never a hang, never much memory. */
import { readFileSync } from "node:fs";
import { gunzipSync } from "node:zlib";
import { beforeAll, describe, expect, test } from "vitest";
import { CoreError } from "../../ts/core/index.ts";
import { EngineError } from "../../ts/engine/index.ts";
import { ReplayError } from "../../ts/replay/errors.ts";
import { exporters } from "../../ts/replay/exporters/index.ts";
import { faultReport } from "../../ts/replay/history.ts";
import { importTrace } from "../../ts/replay/importers/import.ts";
import { replayTrace } from "../../ts/replay/replay.ts";
import { trimmed } from "../../ts/replay/rows.ts";
import { streamOf } from "../../ts/replay/stream.ts";
import type { Trace } from "../../ts/replay/trace.ts";
import { generateRun, random } from "./fixtures/generate.ts";

const text = (name: string) => gunzipSync(readFileSync(new URL(`fixtures/${name}`, import.meta.url))).toString("latin1");
const head = (data: string, lines: number) => `${data.split("\n").slice(0, lines).join("\n")}\n`;

/** What takes the place of a number. */
const ABSURD = ["18446744073709551615", "0xffffffffffffffff", "9007199254740993", "0x7ffffffffffff000", "-1", "-0x1000", "NaN", "Infinity", "1e308", "99999999999999999999999999", "0", ""];

type Next = () => number;
const pick = <Value>(next: Next, values: readonly Value[]) => values[Math.floor(next() * values.length)];

const damages: Record<string, (data: string, next: Next) => string> = {
	"flipped bits": (data, next) => {
		const bytes = Buffer.from(data, "latin1");
		for (let i = 0; i < 20; i++) bytes[Math.floor(next() * bytes.length)] ^= 1 << Math.floor(next() * 8);
		return bytes.toString("latin1");
	},
	"cut lines": (data, next) => data.split("\n").map((line) => (next() < 0.05 ? line.slice(0, Math.floor(next() * line.length)) : line)).join("\n"),
	"absurd numbers": (data, next) => data.replace(/\b(?:0x)?[0-9a-f]*\d[0-9a-f]*\b/g, (number) => (next() < 0.02 ? pick(next, ABSURD) : number)),
	"lines that are lost, doubled and moved": (data, next) => {
		const lines = data.split("\n").flatMap((line) => (next() < 0.05 ? [] : next() < 0.05 ? [line, line] : [line]));
		for (let i = 0; i < 20; i++) lines.splice(Math.floor(next() * lines.length), 0, pick(next, lines));
		return lines.join("\n");
	},
};

/** A recording of each format, by the parts that come as files. */
const inputs: Record<string, string[]> = {
	"QEMU VT-d and ftrace": [head(text("vtd_mixed_cut.qemu.log.gz"), 700), head(text("vtd_mixed_cut.guest_ftrace.txt.gz"), 700)],
	"QEMU SMMUv3 and ftrace": [head(text("smmuv3_mixed_cut.qemu.log.gz"), 700), head(text("smmuv3_mixed_cut.guest_ftrace.txt.gz"), 700)],
	"kernel log": [`${text("vtd_faults_edu.dmesg.txt.gz")}${text("fault_lines.tsv.gz").split("\n").map((line) => line.split("\t").pop()).join("\n")}\n`],
	"joined CSV": [head(text("vtd_mixed_cut.merged.csv.gz"), 600)],
	"packet list": [Array.from({ length: 300 }, (_, i) => `0x${(0x7f3a0000 + 4096 * (i % 50)).toString(16)} 0x${(8 * (1 + (i % 3))).toString(16)}`).join("\n")],
	"simulator CSV": [["time_ns,kind,device,iova,size,pa,access,domain", ...Array.from({ length: 100 }, (_, i) => [`${100 * i},map,00:01.0,0x${(4096 * i).toString(16)},4096,0x${(0x100000 + 4096 * i).toString(16)},rw,3`, `${100 * i + 10},dma,00:01.0,0x${(4096 * i + 8).toString(16)},64,,r,`, `${100 * i + 20},unmap,00:01.0,0x${(4096 * i).toString(16)},4096,,,`, `${100 * i + 21},inv,00:01.0,0x${(4096 * i).toString(16)},4096,,,3`]).flat()].join("\n")],
};
for (const firstStage of [false, true]) {
	const run = generateRun({ seed: 3, devices: 3, mode: "lazy", firstStage, requests: 40 });
	inputs[`generated, ${firstStage ? "first" : "second"} stage`] = [run.qemu, run.ftrace];
	// the same events as perf script and trace-cmd report print them
	const events = run.ftrace.split("\n").filter((line) => !line.startsWith("#"));
	inputs[`perf script, ${firstStage ? "first" : "second"} stage`] = [run.qemu, events.map((line) => line.replace(/^ *(.+)-(\d+) +\[(\d+)\] \S+ +([\d.]+): /, "$1 $2 [$3] $4: iommu:")).join("\n")];
	inputs[`trace-cmd report, ${firstStage ? "first" : "second"} stage`] = [run.qemu, `cpus=2\n${events.map((line) => line.replace(/\] \S+ +/, "] ")).join("\n")}`];
}

/** What becomes of it: what was said, or null for an import. All else is a failure of the test. */
async function outcome(files: (string | Uint8Array)[]): Promise<string | null> {
	let trace: Trace;
	try {
		trace = await importTrace(files.map((data, i) => ({ name: `part ${i}`, data })));
	} catch (error) {
		if (error instanceof ReplayError) return error.message;
		throw error;
	}
	faultReport(trace, { limit: 10 });
	try {
		const { dma, events } = await replayTrace(trace, { explain: 3 });
		expect(dma.matched + dma.wrongAddress + dma.unexplained).toBe(dma.total);
		expect(events).toBe(trace.columns.length);
	} catch (error) {
		// tables for maps all over 64 bits may be more than an engine has; numbers may be no domain, or one device's twice
		if (!(error instanceof EngineError) && !(error instanceof CoreError)) throw error;
	}
	return null;
}

/** Bytes that may be held at the end, over what there was: rows are few. */
const MOST = 200 * 2 ** 20;
const SECONDS = 10_000;

describe.each(Object.entries(inputs))("%s", (_, files) => {
	test("undamaged is imported", async () => expect(await outcome(files)).toBeNull());

	test.each(Object.entries(damages))("%s", { timeout: SECONDS }, async (_, damage) => {
		const next = random(files[0].length);
		const before = process.memoryUsage();
		for (let round = 0; round < 3; round++) {
			const said = await outcome(files.map((data) => damage(data, next)));
			if (said !== null) expect(said).toMatch(/\w/);
		}
		const after = process.memoryUsage();
		expect(after.heapUsed + after.arrayBuffers - before.heapUsed - before.arrayBuffers).toBeLessThan(MOST);
	});
});

describe("ranges of any size", () => {
	const HEADER = "t_us,kind,id,iova,size,pa,info\n";
	const rows = (...lines: string[]) => HEADER + lines.join("\n");

	test.each(["18446744073709551615", "18446744073709551616", "9223372036854775808", "4503599627370496", "1099511627776", "-4096", "NaN", "1e9"])("of %s bytes in joined CSV", { timeout: SECONDS }, async (size) => {
		const data = rows("1,map,8,0x1000,4096,0x5000,rw", `2,map,8,0x100000,${size},0x0,rw`, "3,dma,8,0x1000,4096,0x5000,miss", `4,unmap,8,0x100000,${size},,`, `5,unmap,-1,0x0,${size},,`, "6,unmap,-1,0x1000,4096,,");
		const { columns, report } = await importTrace({ name: "absurd.csv", data });
		expect(columns.length + report.damagedLines).toBe(6);
		// what stands around it is as it was
		expect(await outcome([data])).toBeNull();
		expect(columns.id[columns.length - 1]).toBe(0);
	});

	test("a range that ends behind 64 bits is damage", async () => {
		const { report } = await importTrace({ name: "x", data: rows("1,map,8,0xfffffffffffff000,8192,0x5000,rw", "2,map,8,0xfffffffffffff000,4096,0x5000,rw") });
		expect(report.damagedLines).toBe(1);
		expect((await importTrace({ name: "x", data: "device,iova,kind,size,pa\n8,0xfffffffffffff000,map,8192,0\n" })).report.damagedLines).toBe(1);
	});

	test("large ones are followed as small ones are", async () => {
		const gib = 2 ** 30;
		const data = rows(`1,map,8,0x0,${64 * gib},0x0,rw`, `2,map,16,0x0,${gib},0x0,rw`, `3,unmap,8,0x${(gib / 2).toString(16)},4096,,`, `4,unmap,-1,0x0,${gib},,`, `5,unmap,-1,0x${(gib).toString(16)},${gib},,`);
		const { columns, devices } = await importTrace({ name: "x", data });
		// the first has a hole there, the second has not; the last is in the first alone
		expect([3, 4].map((row) => devices[columns.id[row]].rid)).toEqual([16, 8]);
	});
});

describe("files of columns", () => {
	let trace: Trace;
	beforeAll(async () => {
		const whole = await importTrace({ name: "run", data: inputs["joined CSV"][0] });
		trace = { ...whole, columns: trimmed(whole.columns, 500) };
	});

	test.each(exporters.map(({ name }) => name))("%s", { timeout: 2 * SECONDS }, async (name) => {
		const pieces: Uint8Array[] = [];
		for await (const piece of exporters.find((one) => one.name === name)?.encode(streamOf(trace)) ?? []) pieces.push(piece);
		const file = Buffer.concat(pieces);
		expect(await outcome([file])).toBeNull();
		const next = random(file.length);
		for (let round = 0; round < 12; round++) {
			const damaged = Buffer.from(file);
			// heads and ends hold the sizes
			const where = pick(next, [() => next() * 100, () => damaged.length - next() * 200, () => next() * damaged.length, () => damaged.length - next() * 1500]);
			for (let i = 0; i < 4; i++) damaged[Math.max(0, Math.min(damaged.length - 1, Math.floor(where())))] = Math.floor(next() * 256);
			await outcome([round % 3 === 0 ? damaged.subarray(0, Math.floor(next() * damaged.length)) : damaged]);
		}
	});

	// a list that says it has 2^31 elements kept the libraries busy for hours
	test.each(["arrow", "parquet"])("%s: any word of the metadata at its most", { timeout: 2 * SECONDS }, async (name) => {
		const pieces: Uint8Array[] = [];
		for await (const piece of exporters.find((one) => one.name === name)?.encode(streamOf(trace)) ?? []) pieces.push(piece);
		const file = Buffer.concat(pieces);
		const metadata = file.readUInt32LE(file.length - (name === "arrow" ? 10 : 8));
		let refused = 0;
		for (let at = file.length - 10 - metadata; at < file.length; at += 4) {
			const damaged = Buffer.from(file);
			damaged.writeUInt32LE(0x7fffffff, Math.min(at, file.length - 4));
			try {
				await importTrace({ name: "damaged", data: damaged });
			} catch (error) {
				if (!(error instanceof ReplayError)) throw error;
				expect(error.message).not.toContain("\n");
				refused++;
			}
		}
		expect(refused).toBeGreaterThan(metadata / 12);
	});
});
