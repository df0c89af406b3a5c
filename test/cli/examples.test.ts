/** The examples that every help text gives, run as they stand there; those that want a Redis are run by test/redis/run.mjs. */
import { execFileSync, spawnSync } from "node:child_process";
import { chmodSync, copyFileSync, mkdtempSync, writeFileSync } from "node:fs";
import { gzipSync } from "node:zlib";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { beforeAll, describe, expect, test } from "vitest";
import { Engine } from "../../ts/engine/index.ts";

const root = new URL("../..", import.meta.url).pathname;
const main = join(root, "dist/ts/cli/main.js");
const help = (...args: string[]) => spawnSync(process.execPath, [main, ...args, "--help"], { encoding: "utf8" }).stdout;
const examplesOf = (text: string) => [...text.matchAll(/^ {2}\$ (.+)$/gm)].map((match) => match[1]);
const commands = [...help().split(/^Commands:$/m)[1].matchAll(/^ {2}([a-z][\w-]*)/gm)].map((match) => match[1]).filter((name) => name !== "help");

/** The files that examples name. */
const FILES: Record<string, string> = {
	"qemu.log.gz": "test/traces/vtd_faults_edu.qemu.log.gz",
	"guest_ftrace.txt.gz": "test/traces/vtd_faults_edu.guest_ftrace.txt.gz",
	"run.merged.csv.gz": "test/replay/fixtures/vtd_mixed_cut.merged.csv.gz",
	"dmesg.txt.gz": "test/replay/fixtures/vtd_faults_edu.dmesg.txt.gz",
	"vectors.json.gz": "test/vectors/amdvi-qemu.json.gz",
};

/** One device whose table has one page. */
function savedMachine(): Uint8Array {
	const engine = Engine.create({ units: [{ architecture: "vtd" }], tables: { frames: 64 } });
	const table = engine.createTable({ format: "vtd-second", levels: 4 });
	table.map(0x10000n, 0x8000_0000n, 0x1000n, { read: true, write: false });
	engine.units[0].setRoute(8, { type: "second-stage", domain: 1, table });
	return engine.saveImage();
}

const dir = mkdtempSync(join(tmpdir(), "ioasid-examples-"));
beforeAll(() => {
	for (const [name, path] of Object.entries(FILES)) copyFileSync(join(root, path), join(dir, name));
	writeFileSync(join(dir, "machine.image.gz"), gzipSync(savedMachine()));
	// what other examples make
	const ioasid = (...args: string[]) => execFileSync(process.execPath, [main, ...args], { cwd: dir, stdio: "ignore" });
	ioasid("convert", "run.merged.csv.gz", "-o", "run.iot");
	for (const i of [1, 2]) ioasid("sweep", "run.iot", "--grid", "iotlb=64x4,128x8", "--shard", `${i}/2`, "--journal", `part-${i}.journal`);
	writeFileSync(join(dir, "packets.txt"), "0x7f3a2000 0x8\n0x7f3a3000 0x10\n");
	writeFileSync(join(dir, "ioasid"), `#!/bin/sh\nexec "${process.execPath}" "${main}" "$@"\n`);
	chmodSync(join(dir, "ioasid"), 0o755);
});

test("the commands that were there at the start are found in the help", () => {
	expect(commands).toEqual(expect.arrayContaining(["replay", "info", "conformance", "explain"]));
});

describe.each(["", ...commands])("ioasid %s --help", (command) => {
	const examples = examplesOf(command === "" ? help() : help(command));

	test("has examples, each with a line of explanation", () => {
		expect(examples.length).toBeGreaterThan(0);
		expect(examples.every((line) => /\bioasid\b/.test(line))).toBe(true);
	});

	test.each(examples.filter((line) => !line.includes("redis://")))("%s", (line) => {
		const { status, stdout, stderr } = spawnSync("sh", ["-c", line], { cwd: dir, encoding: "utf8", env: { ...process.env, PATH: `${dir}:${process.env.PATH}`, NO_COLOR: "1" } });
		expect(stderr).not.toMatch(/^ioasid:|Error/m);
		expect(status).toBe(0);
		expect(stdout.length + stderr.length).toBeGreaterThan(20);
	});
});
