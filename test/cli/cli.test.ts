import { spawn, spawnSync } from "node:child_process";
import { mkdtempSync, readFileSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { gunzipSync } from "node:zlib";
import { describe, expect, it } from "vitest";

const root = new URL("../..", import.meta.url).pathname;
const main = join(root, "dist/ts/cli/main.js");
const cut = join(root, "test/traces/vtd_mixed_cut.merged.csv.gz");
const run = (args: string[], input?: Buffer) => spawnSync(process.execPath, [main, ...args], { encoding: "utf8", input, env: { ...process.env, NO_COLOR: "1" } });

describe("ioasid replay", () => {
	it("prints a table without colour, and no bar, away from a terminal", () => {
		const { status, stdout, stderr } = run(["replay", cut]);
		expect(status).toBe(0);
		expect(stderr).toBe("");
		expect(stdout).toContain("0000:00:01.0");
		expect(stdout).toContain("61,806 DMAs of 100,000 events: all matched");
		expect(stdout).not.toContain("\u001b");
	});

	it("prints one JSON object, from standard input too", () => {
		const { status, stdout } = run(["replay", "-", "--json", "--iotlb", "qemu-7.2"], readFileSync(cut));
		expect(status).toBe(0);
		const summary = JSON.parse(stdout);
		expect(summary).toMatchObject({ version: 1, events: 100_000, damagedLines: 0, recorded: { disagree: 0 } });
		for (const key of ["dma", "iotlb", "faults", "perDevice", "seconds", "eventsPerSecond", "importSeconds"]) expect(summary).toHaveProperty(key);
	});

	it("names the place of a damaged line, and stops there with --strict", () => {
		const dir = mkdtempSync(join(tmpdir(), "ioasid-"));
		const lines = gunzipSync(readFileSync(cut)).toString("latin1").split("\n").slice(0, 400);
		lines[200] = lines[200].replace(/0x[0-9a-f]+/, "0xzz");
		const damaged = join(dir, "damaged.csv");
		writeFileSync(damaged, lines.join("\n"));
		const lenient = run(["replay", damaged, "--json"]);
		expect(lenient.status).toBe(0);
		expect(JSON.parse(lenient.stdout).damagedLines).toBe(1);
		expect(lenient.stderr).toContain("damaged.csv:201");
		const strict = run(["replay", damaged, "--strict"]);
		expect(strict.status).toBe(1);
		expect(strict.stderr).toContain("damaged.csv:201");
	});

	it("reads what is left of a cut gzip file, and says so", () => {
		const dir = mkdtempSync(join(tmpdir(), "ioasid-"));
		const bytes = readFileSync(cut);
		const half = join(dir, "half.csv.gz");
		writeFileSync(half, bytes.subarray(0, bytes.length >> 1));
		const { status, stdout, stderr } = run(["replay", half, "--json"]);
		expect(status).toBe(0);
		expect(JSON.parse(stdout).dma.matched).toBeGreaterThan(1000);
		expect(stderr).toContain("half.csv.gz");
	});

	it.each([
		[["replay", "--no-such-option", cut]],
		[["replay", join(root, "no-such-file")]],
		[["replay", cut, "--iotlb", "3x4"]],
		[["replay", cut, "--iotlb", "lots"]],
		[["replay", cut, "--limit", "-3"]],
		[["replay", cut, "--device", "0000:09:00.0"]],
		[["replay", join(root, "package.json")]],
		[["replay", cut, "--costs", join(root, "package.json")]],
		[["replay", cut, "--warm-up", "1", "--warm-up-events", "1"]],
		[["info", join(root, "no-such-file")]],
		[["curve", cut, "--sizes", "0"]],
		[["curve", cut, "--policy", "best"]],
		[["curve", cut, "--sizes", "12", "--ways", "8"]],
		[["curve", cut, "--sample", "2"]],
		[["faults", cut, "--limit", "x"]],
		[["whatif", cut]],
		[["whatif", cut, "--lazy", "many"]],
		[["whatif", cut, "--format", "pdp11"]],
	])("refuses %j with one line and exit 2", (args) => {
		const { status, stdout, stderr } = run(args);
		expect(status).toBe(2);
		expect(stdout).toBe("");
		expect(stderr.trim().split("\n")).toHaveLength(1);
	});

	it("does not mind a reader that goes away", async () => {
		const child = spawn(process.execPath, [main, "replay", cut], { stdio: ["ignore", "pipe", "pipe"] });
		child.stdout.destroy();
		let errors = "";
		child.stderr.on("data", (data) => {
			errors += data;
		});
		const code = await new Promise((resume) => child.on("close", resume));
		expect(code).toBe(0);
		expect(errors).toBe("");
	});
});

describe("ioasid replay's other outputs", () => {
	it("writes a report and a trace for Perfetto beside the same summary", () => {
		const dir = mkdtempSync(join(tmpdir(), "ioasid-"));
		const [report, perfetto] = [join(dir, "out.html"), join(dir, "out.json")];
		const { status, stdout, stderr } = run(["replay", cut, "--json", "--limit", "20000", "--report", report, "--perfetto", perfetto]);
		expect(stderr).toBe("");
		expect(status).toBe(0);
		expect(JSON.parse(stdout).events).toBe(20_000);
		const html = readFileSync(report, "utf8");
		expect(html).toMatch(/^<!doctype html>/);
		const data = JSON.parse(/id="data">(.*?)<\/script>/s.exec(html)?.[1] ?? "");
		expect(data.curves.series[0].misses.length).toBe(data.curves.sizes.length);
		expect(data.time.maps.reduce((a: number, b: number) => a + b, 0)).toBeGreaterThan(0);
		expect(JSON.parse(readFileSync(perfetto, "utf8")).traceEvents.length).toBeGreaterThan(1000);
	});

	it("draws sparklines when asked, and not away from a terminal otherwise", () => {
		const bars = /^0000:00:01\.0 +[▁▂▃▄▅▆▇█ ]+ +\d+% to +\d+%$/m;
		expect(run(["replay", cut, "--plots"]).stdout).toMatch(bars);
		expect(run(["replay", cut]).stdout).not.toMatch(bars);
	});

	it.each(["--report", "--perfetto"])("refuses a path for %s that cannot be written, before it replays", (option) => {
		const { status, stdout, stderr } = run(["replay", cut, option, join(root, "no-such-directory/out")]);
		expect(status).toBe(2);
		expect(stdout).toBe("");
		expect(stderr).toMatch(new RegExp(`^ioasid: ${option} .*no-such-directory/out: cannot be written.*\n$`));
	});
});

describe("ioasid info", () => {
	it("tells what a file holds", () => {
		const { status, stdout } = run(["info", cut]);
		expect(status).toBe(0);
		expect(stdout).toContain("100,000 events: 61,806 dma");
		expect(stdout).toContain("0000:00:1f.2");
	});
});

describe("the commands that answer questions", () => {
	const faults = ["vtd_faults_edu.qemu.log.gz", "vtd_faults_edu.guest_ftrace.txt.gz"].map((name) => join(root, "test/traces", name));

	it("curve: a table, sparklines and simulated caches", () => {
		const { status, stdout, stderr } = run(["curve", cut, "--sizes", "64,256", "--ways", "4", "--policy", "lru,plru"]);
		expect([status, stderr]).toEqual([0, ""]);
		expect(stdout).toMatch(/^ +64 +63\.2% +78\.6%/m);
		expect(stdout).toMatch(/^all +[▁-█]{48}/m);
		expect(stdout).toContain("4-way:plru");
		const report = JSON.parse(run(["curve", cut, "--json", "--invalidations", "without", "--sample-pages", "64"]).stdout);
		expect(report).toMatchObject({ version: 1, simulated: [], curves: [{ method: "shards", invalidations: false, sampling: { pages: 64 } }] });
	});

	it("faults: the cause of each, and life times", () => {
		const { status, stdout, stderr } = run(["faults", ...faults, "--limit", "3"]);
		expect([status, stderr]).toEqual([0, ""]);
		expect(stdout).toMatch(/^all +592 +80 +512/m);
		expect(stdout).toContain("recorded fault 6: never mapped in this trace");
		expect(stdout).toContain("67 maps never unmapped");
		expect(JSON.parse(run(["faults", ...faults, "--json"]).stdout)).toMatchObject({ version: 1, total: 592, byCause: { "never mapped": 512 } });
	});

	it("whatif: base against variants", () => {
		const { status, stdout, stderr } = run(["whatif", cut, "--lazy", "--format", "amd-v1"]);
		expect([status, stderr]).toEqual([0, ""]);
		expect(stdout).toMatch(/^hit rate +63\.3% +62\.5% +63\.3%/m);
		expect(stdout).toMatch(/^unexplained +0 +0 +0/m);
		const report = JSON.parse(run(["whatif", cut, "--tenants", "2", "--json"]).stdout);
		expect(report.variants).toHaveLength(1);
		expect(report.variants[0].figures.dma).toBe(2 * report.base.dma);
	});
});
