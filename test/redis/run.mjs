// Sweeps over a real Redis (Debian's redis-server): a worker is killed in the middle, the one that handed the sweep in is killed,
// and the results are those of a sweep on one machine, byte for byte.
import assert from "node:assert/strict";
import { spawn, spawnSync } from "node:child_process";
import { once } from "node:events";
import { existsSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { createServer } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";
import { Queue } from "bullmq";
import { synthetic } from "../../bench/synthetic.mjs";
import { version } from "../../dist/ts/cli/sweep/plan.js";
import { traceFile } from "../../dist/ts/replay/exporters/trace-file.js";
import { checks, root } from "../package/pack.mjs";

const { check, finish } = checks();
const dir = mkdtempSync(join(tmpdir(), "ioasid-redis-"));
const main = join(root, "dist/ts/cli/main.js");
const env = { ...process.env, NO_COLOR: "1" };
const children = new Set();
process.on("exit", () => {
	for (const child of children) child.kill("SIGKILL");
	rmSync(dir, { recursive: true, force: true, maxRetries: 3 });
});

function start(command, args) {
	const child = spawn(command, args, { cwd: dir, env, stdio: ["ignore", "pipe", "pipe"] });
	children.add(child);
	child.said = "";
	for (const stream of [child.stdout, child.stderr]) stream.on("data", (text) => (child.said += text));
	child.ended = once(child, "close").then(([code, signal]) => {
		children.delete(child);
		return { code, signal };
	});
	return child;
}

const ioasid = (...args) => start(process.execPath, [main, ...args]);

async function until(what, test, seconds = 60) {
	const end = Date.now() + seconds * 1000;
	while (!(await test())) {
		if (Date.now() > end) throw new Error(`${what}: not within ${seconds} s`);
		await sleep(50);
	}
}

async function freePort() {
	const server = createServer().listen(0, "127.0.0.1");
	await once(server, "listening");
	const { port } = server.address();
	server.close();
	return port;
}

const port = await freePort();
const url = `redis://127.0.0.1:${port}`;
const redis = start("redis-server", ["--port", String(port), "--bind", "127.0.0.1", "--save", "", "--appendonly", "no", "--dir", dir]);
await until("redis-server", () => redis.said.includes("Ready to accept connections"));

// a run long enough to be killed in
const pieces = [];
for await (const piece of traceFile.encode(synthetic(600_000))) pieces.push(piece);
writeFileSync(join(dir, "run.iot"), Buffer.concat(pieces));
const sweep = (name) => ["sweep", "run.iot", "--grid", "iotlb=16x4,64x4,128x8,full:64,full:512", "--grid", "policy=lru,fifo,random:7", "-o", `${name}.csv`, "-o", `${name}.parquet`, "-o", `${name}.json`];
const lines = (name) => (existsSync(join(dir, `${name}.csv.journal`)) ? readFileSync(join(dir, `${name}.csv.journal`), "utf8").split("\n").length - 2 : 0);
const same = (a, b) => {
	for (const extension of ["csv", "parquet", "json"]) assert.deepEqual(readFileSync(join(dir, `${a}.${extension}`)), readFileSync(join(dir, `${b}.${extension}`)), extension);
};
const queue = () => new Queue(`ioasid-sweep-${version}`, { connection: { url, maxRetriesPerRequest: null } });

await check("a sweep on this machine", async () => {
	const local = ioasid(...sweep("local"));
	assert.deepEqual(await local.ended, { code: 0, signal: null }, local.said);
	assert.equal(readFileSync(join(dir, "local.csv"), "utf8").trim().split("\n").length, 16);
});

await check("two workers, one killed in the middle of a run: nothing is lost, the bytes are the same", async () => {
	const workers = [ioasid("worker", "--redis", url, "--jobs", "1"), ioasid("worker", "--redis", url, "--jobs", "1")];
	const remote = ioasid(...sweep("remote"), "--redis", url);
	await until("the first results", () => lines("remote") >= 3);
	workers[0].kill("SIGKILL");
	assert.equal((await workers[0].ended).signal, "SIGKILL");
	const before = lines("remote");
	assert.ok(before < 15, `${before} of 15 runs were done already`);
	assert.deepEqual(await remote.ended, { code: 0, signal: null }, remote.said);
	same("remote", "local");
	// the killed worker had a run in its hands: it was found stalled and given to the other
	const open = queue();
	const jobs = await open.getCompleted(0, -1);
	await open.close();
	assert.equal(jobs.length, 15);
	assert.equal(jobs.filter((job) => job.stalledCounter > 0).length, 1);
	workers[1].kill("SIGTERM");
	assert.deepEqual(await workers[1].ended, { code: 0, signal: null }, workers[1].said);
});

await check("the same sweep again takes the results that are there, without any worker", async () => {
	const again = ioasid(...sweep("again"), "--redis", url);
	assert.deepEqual(await again.ended, { code: 0, signal: null }, again.said);
	same("again", "local");
});

await check("who handed a sweep in is killed, and goes on from the journal", async () => {
	const emptied = queue();
	await emptied.obliterate({ force: true });
	await emptied.close();
	const worker = ioasid("worker", "--redis", url, "--jobs", "1");
	const first = ioasid(...sweep("killed"), "--redis", url);
	await until("the first results", () => lines("killed") >= 2);
	first.kill("SIGKILL");
	await first.ended;
	assert.ok(!existsSync(join(dir, "killed.csv")));
	// half a line, as a kill in the middle of a write leaves it
	writeFileSync(join(dir, "killed.csv.journal"), '{"index":1', { flag: "a" });
	const second = ioasid(...sweep("killed"), "--redis", url);
	assert.deepEqual(await second.ended, { code: 0, signal: null }, second.said);
	same("killed", "local");
	worker.kill("SIGTERM");
	await worker.ended;
});

await check("a run that fails is told with its point, the others are kept", async () => {
	const worker = ioasid("worker", "--redis", url, "--jobs", "1");
	const failing = ioasid("sweep", "run.iot", "--grid", "device=all,0000:09:00.0", "-o", "failing.csv", "--redis", url);
	const { code } = await failing.ended;
	assert.equal(code, 2);
	assert.match(failing.said, /run\.iot device=0000:09:00\.0: no device 0000:09:00\.0 in the trace/);
	assert.equal(lines("failing"), 1);
	worker.kill("SIGTERM");
	await worker.ended;
});

await check("a Redis that does not answer is one line", () => {
	const { status, stderr } = spawnSync(process.execPath, [main, "sweep", "run.iot", "--redis", "redis://user:secret@127.0.0.1:1"], { cwd: dir, env, encoding: "utf8" });
	assert.equal(status, 2);
	assert.match(stderr, /^ioasid: --redis redis:\/\/127\.0\.0\.1:1: .*ECONNREFUSED.*\n$/);
});

redis.kill("SIGTERM");
await redis.ended;
finish();
