// The packed package in a page and a module worker of Debian's Chromium: the demo trace gives the same counts as in Node;
// then its reports.
import assert from "node:assert/strict";
import { copyFileSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { createServer } from "node:http";
import { tmpdir } from "node:os";
import { extname, join } from "node:path";
import { fileURLToPath } from "node:url";
import { chromium } from "playwright-core";
import { build, createLogger } from "vite";
import { reportChecks } from "./report.mjs";
import { checks, cutTrace, installPacked, run } from "../package/pack.mjs";

const CHROMIUM = "/usr/bin/chromium";
const FLAGS = ["--headless", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-background-networking", "--disable-component-update", "--disable-sync"];
const TIMEOUT = 120_000;
const TYPES = { ".html": "text/html", ".js": "text/javascript", ".wasm": "application/wasm" };

const { check, finish } = checks();
const { directory } = installPacked();
const bundle = join(directory, "bundle");

/** What must be equal everywhere: all but the times. */
function counts(summary) {
	const { seconds, eventsPerSecond, importSeconds, ...rest } = JSON.parse(JSON.stringify(summary));
	assert.equal(typeof seconds, "number");
	assert.equal(typeof eventsPerSecond, "number");
	assert.equal(typeof importSeconds, "number");
	return rest;
}

function inNode() {
	writeFileSync(join(directory, "node.mjs"), `
		import { replay } from "ioasid";
		console.log(JSON.stringify(await replay([process.argv[2]])));`);
	return counts(JSON.parse(run(process.execPath, ["node.mjs", cutTrace], directory)));
}

async function bundlePage() {
	const warnings = [];
	const logger = createLogger("warn");
	logger.warn = logger.warnOnce = (message) => warnings.push(message);
	for (const name of ["page.html", "page.js", "worker.js"]) {
		copyFileSync(fileURLToPath(new URL(name, import.meta.url)), join(directory, name));
	}
	await build({
		root: directory,
		configFile: false,
		customLogger: logger,
		worker: { format: "es" },
		// the engine alone is 400 kB as text
		build: { outDir: bundle, target: "es2022", chunkSizeWarningLimit: 1024, rolldownOptions: { input: join(directory, "page.html") } },
	});
	assert.deepEqual(warnings, []);
}

/** Serves the bundle, and the trace as bytes under /trace. */
async function serve() {
	const server = createServer((request, response) => {
		const { pathname } = new URL(request.url, "http://localhost");
		try {
			const body = pathname === "/trace" ? readFileSync(cutTrace) : readFileSync(join(bundle, pathname));
			response.setHeader("content-type", TYPES[extname(pathname)] ?? "application/octet-stream");
			response.end(body);
		} catch {
			response.statusCode = pathname === "/favicon.ico" ? 204 : 404;
			response.end();
		}
	});
	await new Promise((resolve) => server.listen(0, "127.0.0.1", resolve));
	return server;
}

async function inBrowser(expected, origin, profile) {
	const complaints = [];
	const browser = await chromium.launchPersistentContext(profile, { executablePath: CHROMIUM, args: FLAGS, timeout: TIMEOUT });
	try {
		const page = await browser.newPage();
		page.setDefaultTimeout(TIMEOUT);
		page.on("console", (message) => message.type() === "error" && complaints.push(message.text()));
		page.on("pageerror", (error) => complaints.push(String(error)));
		await check("the page loads", async () => {
			await page.goto(`${origin}/page.html`);
			await page.waitForFunction(() => globalThis.ready === true, null, { timeout: 20_000 }).catch((error) => {
				throw new Error(`${error.message}\n${complaints.join("\n")}`);
			});
		});
		const same = (name, call) => check(name, async () => assert.deepEqual(counts(await page.evaluate(call)), expected));
		await same("a page replays a Blob as Node does", () => globalThis.inPage());
		await same("a page replays a ReadableStream as Node does", () => globalThis.fromStream());
		await same("a module worker replays a Blob as Node does", () => globalThis.inWorker());
		await check("ioasid/url fetches the engine", async () => assert.equal(await page.evaluate(() => globalThis.engineImports()), 3));
		await check("no error in the console", () => assert.deepEqual(complaints, []));
	} finally {
		await browser.close();
	}
}

let expected;
await check("Node replays the trace", () => {
	expected = inNode();
	const { total, matched, wrongAddress, unexplained } = expected.dma;
	assert.ok(total > 50_000);
	assert.deepEqual({ matched, wrongAddress, unexplained }, { matched: total, wrongAddress: 0, unexplained: 0 });
});
await check("a bundler packs page and worker without a warning", bundlePage);

const server = await serve();
const profile = mkdtempSync(join(tmpdir(), "ioasid-chromium-"));
try {
	await inBrowser(expected, `http://127.0.0.1:${server.address().port}`, profile);
} catch (error) {
	await check("Chromium runs", () => Promise.reject(error));
} finally {
	server.close();
	rmSync(profile, { recursive: true, force: true, maxRetries: 5 });
}
await reportChecks(check, { directory, executablePath: CHROMIUM, args: FLAGS }).catch((error) => check("Chromium shows reports", () => Promise.reject(error)));
finish();
