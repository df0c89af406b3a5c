// A C program that was written for the kernel runs against the doors: its calls come over a socket, its memory is read and
// written where it lies, in another process.
import assert from "node:assert/strict";
import { spawn, spawnSync } from "node:child_process";
import { once } from "node:events";
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { checks } from "../package/pack.mjs";
import { Server } from "./server.mjs";

const here = fileURLToPath(new URL(".", import.meta.url));
const directory = mkdtempSync(join(tmpdir(), "ioasid-native-"));
process.on("exit", () => rmSync(directory, { recursive: true, force: true }));
const { check, finish } = checks();

function compile(output, sources, ...options) {
	const { status, stderr } = spawnSync("gcc", ["-std=gnu17", "-O1", "-Wno-stringop-overflow", "-Wno-nonnull", "-Wall", "-Wextra", "-Werror", "-o", join(directory, output), ...sources.map((source) => join(here, source)), ...options], { encoding: "utf8" });
	if (status !== 0) throw new Error(`gcc ${sources.join(" ")}: ${stderr}`);
	return join(directory, output);
}

const interposer = compile("interposer.so", ["interposer.c"], "-shared", "-fPIC", "-ldl", "-lpthread");
const program = compile("program", ["program.c", "flows-spaces.c", "flows-queues.c", "flows-files.c"]);
const socket = join(directory, "socket");
const shared = join(directory, "memory");
const server = new Server(socket, shared);
const child = spawn(program, { env: { ...process.env, LD_PRELOAD: interposer, IOASID_SOCKET: socket, IOASID_SHARED: shared }, stdio: ["ignore", "pipe", "inherit"] });
const timer = setTimeout(() => child.kill("SIGKILL"), 60_000);
let said = "";
child.stdout.on("data", (text) => (said += text));
const [code, signal] = await once(child, "close");
clearTimeout(timer);

const lines = said.split("\n").filter((line) => line !== "");
for (const [i, line] of lines.entries()) {
	const named = /^(ok {2}|FAIL) (.*)$/.exec(line);
	if (named !== null) await check(named[2], () => assert.equal(named[1].trim(), "ok", lines[i - 1]));
}
await check("the program comes to its end", () => assert.deepEqual([signal, code], [null, lines.filter((line) => line.startsWith("FAIL")).length]));
// sockets of the program end a moment after it
for (let i = 0; i < 100 && server.processes.size > 0; i++) await new Promise((done) => setTimeout(done, 20));
await check("nothing is left behind: processes, open files, pins, frames", () => {
	assert.deepEqual([server.processes.size, server.doors.host.files.size, server.programs.pinned, server.machine.framesPinned, server.machine.framesUsed], [0, 0, 0, 0, 0]);
});
server.close();
finish();
