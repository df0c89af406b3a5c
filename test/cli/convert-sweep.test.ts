/** `convert`, `sweep` and `merge` as commands, and the memory that a streamed replay holds. */
import { spawn, spawnSync } from "node:child_process";
import { existsSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { parquetReadObjects } from "hyparquet";
import { InvalidArgumentError } from "commander";
import { afterAll, describe, expect, it } from "vitest";
import { type ComparisonData, comparedLines } from "../../ts/report/compare.ts";
import { type Axis, optionsOf, parseAxis, points } from "../../ts/cli/sweep/grid.ts";

const root = new URL("../..", import.meta.url).pathname;
const main = join(root, "dist/ts/cli/main.js");
const CUT = join(root, "test/traces/vtd_mixed_cut.merged.csv.gz");
const SMALL = join(root, "test/replay/fixtures/vtd_mixed_cut.merged.csv.gz");
const FAULTS = ["qemu.log.gz", "guest_ftrace.txt.gz"].map((name) => join(root, `test/traces/vtd_faults_edu.${name}`));
const dir = mkdtempSync(join(tmpdir(), "ioasid-"));
afterAll(() => rmSync(dir, { recursive: true }));

const env = { ...process.env, NO_COLOR: "1" };
const run = (...args: string[]) => spawnSync(process.execPath, [main, ...args], { cwd: dir, encoding: "utf8", env, maxBuffer: 1 << 28 });
const ok = (...args: string[]) => {
	const { status, stdout, stderr } = run(...args);
	if (status !== 0) throw new Error(`${args.join(" ")}: ${status}: ${stderr}`);
	return { stdout, stderr };
};
const bytes = (name: string) => readFileSync(join(dir, name));

describe("ioasid convert", () => {
	it("goes round by every format to the same file", () => {
		ok("convert", ...FAULTS, "-o", "start.iot");
		let from = "start.iot";
		for (const to of ["a.arrow", "b.parquet", "c.iot.gz", "e.csv", "end.iot"]) {
			ok("convert", from, "-o", to);
			from = to;
		}
		// the dictionary names what the file was made of; all that follows is the same
		const events = (name: string) => bytes(name).subarray(bytes(name).indexOf("EVTS"));
		expect(events("end.iot").equals(events("start.iot"))).toBe(true);
		expect(JSON.parse(ok("replay", "end.iot", "--json").stdout).faults).toMatchObject({ recorded: 592, matched: 592 });
		expect(ok("info", "end.iot").stdout).toContain("made of vtd_faults_edu.qemu.log.gz, vtd_faults_edu.guest_ftrace.txt.gz");
	});

	it("writes to standard output, and tells what it did elsewhere", () => {
		const { stdout, stderr } = ok("convert", "start.iot", "-o", "-", "--to", "merged-csv");
		expect(stdout).toBe(bytes("e.csv").toString().replace(/"files":\[[^\]]*\],"notes":\[[^\]]*\]/, /"files":\[[^\]]*\],"notes":\[[^\]]*\]/.exec(stdout)?.[0] ?? ""));
		expect(stderr).toMatch(/events to standard output \(joined CSV, /);
	});

	it.each([
		[["convert", CUT, "-o", "x.txt"], /says no format/],
		[["convert", CUT, "-o", "x", "--to", "elf"], /no format of that name/],
		[["convert", "nothing.iot", "-o", "x.iot"], /no such file/],
		[["convert", CUT, "-o", "no/such/dir/x.iot"], /cannot be written/],
		[["convert", CUT], /--output/],
	])("refuses %j with one line and exit 2", (args, said) => {
		const { status, stderr, stdout } = run(...args);
		expect([status, stdout]).toEqual([2, ""]);
		expect(stderr).toMatch(said);
		expect(stderr.trim().split("\n")).toHaveLength(1);
	});

	it("says where a file is cut, and leaves no half file when it breaks", () => {
		writeFileSync(join(dir, "cut.iot"), bytes("start.iot").subarray(0, -3));
		expect(ok("convert", "cut.iot", "-o", "whole.iot").stderr).toMatch(/^cut\.iot: the file is cut: it ends after 1 whole chunks/);
		const broken = bytes("start.iot");
		broken[broken.length - 500] ^= 1;
		writeFileSync(join(dir, "broken.iot"), broken);
		const { status, stderr } = run("convert", "broken.iot", "-o", "never.iot");
		expect(status).toBe(1);
		expect(stderr).toMatch(/^ioasid: broken\.iot: chunk 0 \(from event 0\): .*CRC/);
		expect(existsSync(join(dir, "never.iot"))).toBe(false);
	});
});

const GRID = ["--grid", "iotlb=64x4,full:16", "--grid", "policy=lru,fifo", "--grid", "invalidations=on,off"];

describe("ioasid sweep", () => {
	it("has in each row what a replay of that machine says", async () => {
		const { stdout } = ok("sweep", SMALL, FAULTS.join("+"), ...GRID, "--json", "-o", "all.csv", "-o", "all.parquet", "-o", "all.json", "-o", "all.html");
		const report = JSON.parse(stdout);
		expect(report.rows).toHaveLength(16);
		for (const [row, args] of [
			[0, [SMALL, "--iotlb", "64x4"]],
			[7, [SMALL, "--iotlb", "full:16:fifo", "--ignore-invalidations"]],
			[12, [...FAULTS, "--iotlb", "full:16"]],
		] as const) {
			const replayed = JSON.parse(ok("replay", ...args, "--json").stdout);
			const { figures, devices } = report.rows[row];
			expect(figures).toMatchObject({ dma: replayed.dma.total, stale: replayed.dma.stale, iotlb_hits: replayed.iotlb.hits, iotlb_misses: replayed.iotlb.misses, faults_matched: replayed.faults.matched });
			expect(devices.map((one: { hits: number }) => one.hits)).toEqual(replayed.perDevice.map((one: { hits: number }) => one.hits));
		}
		expect(report.rows[7].point).toEqual({ iotlb: "full:16", policy: "fifo", invalidations: "off" });
		expect(JSON.parse(bytes("all.json").toString())).toEqual(report);
		const page = bytes("all.html").toString();
		expect(page).not.toMatch(/(src|href)="?(https?:)?\/\//);
		const compared = JSON.parse(/id="data">([^<]*)</.exec(page)?.[1] ?? "") as ComparisonData;
		expect(compared.rows.map(({ values }) => values[compared.figures.indexOf("hit_rate")])).toEqual(report.rows.map((row: { figures: { hit_rate: number } }) => Number(row.figures.hit_rate.toPrecision(12))));
		const lines = comparedLines(compared, 1, "iotlb_hits");
		expect(lines).toHaveLength(8);
		expect(lines[1]).toEqual({ label: "vtd_mixed_cut.merged.csv.gz, policy lru, invalidations off", values: [1, 5].map((row) => report.rows[row].figures.iotlb_hits) });
		const [head, ...cells] = bytes("all.csv").toString().trim().split("\n").map((line) => line.split(","));
		const { buffer, byteOffset, byteLength } = bytes("all.parquet");
		const rows = await parquetReadObjects({ file: buffer.slice(byteOffset, byteOffset + byteLength) as ArrayBuffer });
		expect(rows.map((row) => head.map((name) => String(row[name])))).toEqual(cells);
		expect(cells[7].slice(0, 4)).toEqual(["vtd_mixed_cut.merged.csv.gz", "full:16", "fifo", "off"]);
	});

	it("in shards, merged in any order, and with other threads, is the same bytes", () => {
		for (const i of [1, 2, 3]) ok("sweep", SMALL, FAULTS.join("+"), ...GRID, "--shard", `${i}/3`, "--journal", `part-${i}`, "--jobs", "1");
		expect(run("merge", "part-1", "part-3").stderr).toMatch(/^ioasid: 5 of 16 runs are in no part, the first is .* iotlb=/);
		ok("merge", "part-3", "part-1", "part-2", "part-1", "-o", "merged.csv", "-o", "merged.parquet", "-o", "merged.json");
		for (const extension of ["csv", "parquet", "json"]) expect(bytes(`merged.${extension}`).equals(bytes(`all.${extension}`))).toBe(true);
		ok("sweep", SMALL, "--grid", "iotlb=64x4", "--journal", "other");
		expect(run("merge", "part-1", "other").stderr).toMatch(/other is of another sweep/);
		const twisted = bytes("part-1").toString().replace(/"iotlb_hits":\d+/, '"iotlb_hits":1');
		writeFileSync(join(dir, "part-x"), twisted);
		expect(run("merge", "part-1", "part-2", "part-3", "part-x").stderr).toMatch(/another result for run 0/);
	});

	it("that was killed goes on where it was", async () => {
		const args = [main, "sweep", CUT, ...GRID.slice(0, 4), "-o", "killed.csv", "--jobs", "1"];
		const journal = join(dir, "killed.csv.journal");
		const results = () => (existsSync(journal) ? readFileSync(journal, "utf8").split("\n").length - 2 : 0);
		const child = spawn(process.execPath, args, { cwd: dir, env, stdio: "ignore" });
		const ended = new Promise((resolve) => child.on("close", resolve));
		while (results() < 1) await new Promise((resume) => setTimeout(resume, 5));
		child.kill("SIGKILL");
		await ended;
		expect(existsSync(join(dir, "killed.csv"))).toBe(false);
		const before = results();
		expect(before).toBeLessThan(4);
		writeFileSync(journal, '{"index":3,"resu', { flag: "a" });
		ok(...args.slice(1));
		// the results that were there were not made again
		expect(readFileSync(journal, "utf8").trim().split("\n")).toHaveLength(5);
		ok("sweep", CUT, ...GRID.slice(0, 4), "-o", "never-killed.csv");
		expect(bytes("killed.csv").equals(bytes("never-killed.csv"))).toBe(true);
	});

	it.each([
		[["sweep", CUT, "--grid", "speed=fast"], /NAME is iotlb, policy/],
		[["sweep", CUT, "--grid", "iotlb=qemu-10", "--grid", "policy=lru"], /does not go with/],
		[["sweep", CUT, "-o", "x.xls"], /\.csv, \.html, \.json, \.parquet/],
		[["sweep", CUT, "--shard", "3/2", "--journal", "x"], /I from 1 to N/],
		[["sweep", "nothing.iot"], /cannot be read/],
		[["sweep", CUT, "--journal", "part-1"], /another sweep/],
	])("refuses %j with one line and exit 2", (args, said) => {
		const { status, stderr, stdout } = run(...args);
		expect([status, stdout]).toEqual([2, ""]);
		expect(stderr).toMatch(said);
		expect(stderr.trim().split("\n")).toHaveLength(1);
	});

	it("merges journals alone", () => {
		expect(run("merge", "e.csv")).toMatchObject({ status: 1, stdout: "", stderr: "ioasid: e.csv:1: not a journal of an ioasid sweep\n" });
	});
});

describe("the grid", () => {
	it("applies every dimension", () => {
		const grid = ["iotlb=128x8", "policy=random:7", "walk-cache=off", "context-cache=on", "invalidations=off", "device=00:01.0", "architecture=smmuv3"].reduce<Axis[]>((before, text) => parseAxis(text, before), []);
		expect(optionsOf(grid, points(grid)[0])).toEqual({
			iotlb: { sets: 128, ways: 8, replacement: "random", seed: 7 },
			walkCache: false,
			contextCache: true,
			ignoreInvalidations: true,
			device: "00:01.0",
			architecture: "smmuv3",
		});
		expect(optionsOf(parseAxis("format=riscv-sv39x4"), ["riscv-sv39x4"])).toEqual({ format: "riscv-sv39x4" });
		const two = [...parseAxis("iotlb=off,qemu-7.2"), ...parseAxis("device=all,x")];
		expect(points(two).map((values) => optionsOf(two, values))).toEqual([{ iotlb: false }, { iotlb: false, device: "x" }, { iotlb: "qemu-7.2" }, { iotlb: "qemu-7.2", device: "x" }]);
		expect(points([])).toEqual([[]]);
	});

	it.each(["iotlb", "=x", "iotlb=", "iotlb=64x4,,off", "iotlb=64x4,64x4", "toString=on"])("does not take %s", (text) => {
		expect(() => parseAxis(text)).toThrow(InvalidArgumentError);
	});

	it.each([
		[["iotlb=3x4"]],
		[["walk-cache=maybe"]],
		[["policy=mru"]],
		[["format=vtd-third"]],
		[["architecture=vtd", "format=vtd-second"]],
		[["iotlb=64x4:lru", "policy=lru"]],
		[["iotlb=off", "policy=lru"]],
		[["iotlb=64x4", "iotlb=off"]],
	])("does not take %j", (texts) => {
		expect(() => {
			const grid = texts.reduce<Axis[]>((before, text) => parseAxis(text, before), []);
			optionsOf(grid, points(grid)[0]);
		}).toThrow(/policy|comes twice|on or off|power of two|one of vtd-second|does not go with/);
	});
});

describe("memory", () => {
	const huge = (events: number, how: string, format = "iot", flags: string[] = []) => {
		const { stdout, stderr } = spawnSync(process.execPath, [...flags, join(root, "bench/huge.mjs"), String(events), join(dir, `huge.${format}`), how], { encoding: "utf8" });
		if (stdout === "") throw new Error(stderr);
		const measured = JSON.parse(stdout);
		expect(measured.dma).toMatchObject({ wrongAddress: 0, unexplained: 0, stale: 0 });
		expect(measured).toMatchObject({ events, refusedEdits: 0 });
		return measured;
	};

	it("a streamed replay holds chunks, not the trace", () => {
		// after a collection at each chunk, so that what is held does not depend on how busy the machine is; a million events are 39 MiB of columns
		const held = (events: number, how: string) => huge(events, how, "iot", ["--expose-gc"]).held / 2 ** 20;
		const few = held(200_000, "stream");
		expect(held(1_000_000, "stream")).toBeLessThan(few + 4);
		expect(held(1_000_000, "whole")).toBeGreaterThan(few + 20);
	});

	it.each(process.env.IOASID_NIGHTLY ? ["faults", "lazy", "merge", "tenants=2"] : ["faults"])("of a streamed trace, %s holds chunks too", (how) => {
		const held = (events: number) => {
			const { stdout, stderr } = spawnSync(process.execPath, ["--expose-gc", join(root, "bench/huge.mjs"), String(events), join(dir, `${how}.iot`), how], { encoding: "utf8" });
			if (stdout === "") throw new Error(stderr);
			return JSON.parse(stdout).held / 2 ** 20;
		};
		// 450,000 events more are 18 MiB of columns
		expect(held(600_000)).toBeLessThan(held(150_000) + 12);
	});

	it.runIf(process.env.IOASID_NIGHTLY)("10^8 events stay within 2 GiB", { timeout: 1_800_000 }, () => {
		expect(huge(100_000_000, "stream").rss).toBeLessThan(2 * 2 ** 30);
		expect(huge(20_000_000, "stream", "csv").rss).toBeLessThan(2 * 2 ** 30);
	});
});
