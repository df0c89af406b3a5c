// The npm package as its users get it: what is in the tarball, what the linters of packages say, what resolves.
import assert from "node:assert/strict";
import { spawnSync } from "node:child_process";
import { readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { checks, cutTrace, installPacked, root, run } from "./pack.mjs";

const { check, finish } = checks();
const { directory, tarball, files } = installPacked();
const bin = (name) => join(root, "node_modules/.bin", name);

await check("npm pack --dry-run lists the same files", () => {
	const [dry] = JSON.parse(run("npm", ["pack", "--dry-run", "--json"], root));
	assert.deepEqual(dry.files.map(({ path }) => path), files);
});

await check("the tarball has the engine, the documents and the types", () => {
	const wanted = ["dist/engine.wasm", "dist/ts/index.js", "dist/ts/index.d.ts", "README.md", "LICENSE", "CHANGELOG.md", "package.json"];
	assert.deepEqual(wanted.filter((path) => !files.includes(path)), []);
});

await check("the tarball has nothing else: no test, no trace, no source", () => {
	const top = /^(?:dist\/|README\.md$|LICENSE$|CHANGELOG\.md$|package\.json$)/;
	const unwanted = /(?:^|\/)test\/|\.csv|\.gz$|\.tsbuildinfo$|\.map$|\.test\.|(?<!\.d)\.ts$/;
	assert.deepEqual(files.filter((path) => !top.test(path) || unwanted.test(path)), []);
});

await check("publint", () => {
	const said = run(bin("publint"), ["run", tarball, "--strict"], directory);
	assert.match(said, /All good/);
});

await check("are the types wrong", () => {
	// The raw module has no types: it is a file to fetch or to hand to a bundler.
	run(bin("attw"), [tarball, "--profile", "esm-only", "--exclude-entrypoints", "./engine.wasm", "./engine.debug.wasm", "--format", "ascii", "--no-emoji"], directory);
});

const script = (name, text) => {
	writeFileSync(join(directory, name), text);
	return run(process.execPath, [name], directory).trim();
};

await check('import "ioasid"', () => {
	const said = script("main.mjs", 'import * as all from "ioasid"; console.log(typeof all.replay, typeof all.Engine, Object.keys(all).length);');
	assert.match(said, /^function function \d+$/);
});

await check('import "ioasid/url" loads the engine', () => {
	const said = script("url.mjs", `
		import { engineUrl, loadEngineModule } from "ioasid/url";
		const module = await loadEngineModule();
		console.log(engineUrl.protocol, module instanceof WebAssembly.Module, WebAssembly.Module.imports(module).length);`);
	assert.equal(said, "file: true 3");
});

await check('"ioasid/engine.wasm" resolves to the module', () => {
	const said = script("wasm.mjs", 'console.log(new URL(import.meta.resolve("ioasid/engine.wasm")).pathname);');
	assert.deepEqual(readFileSync(decodeURI(said)), readFileSync(join(root, "build/engine.wasm")));
});

await check("a TypeScript user compiles against the types", () => {
	writeFileSync(join(directory, "user.ts"), 'import { replay } from "ioasid";\nimport { engineUrl } from "ioasid/url";\nexport const a: URL = engineUrl;\nexport const b = replay;\n');
	const options = ["--noEmit", "--strict", "--module", "nodenext", "--moduleResolution", "nodenext", "--target", "es2022"];
	run(bin("tsc"), [...options, "--lib", "es2022,dom,dom.iterable", "user.ts"], directory);
});

await check("ioasid --help", () => {
	const said = run(join(directory, "node_modules/.bin/ioasid"), ["--help"], directory);
	assert.match(said, /replay/);
	assert.match(said, /info/);
});

const ioasid = (...args) => spawnSync(process.execPath, [join(directory, "node_modules/ioasid/dist/ts/cli/main.js"), ...args], { cwd: directory, encoding: "utf8" });

await check("what needs an optional package says in one line which, and the rest works without", () => {
	for (const [args, names] of [
		[["convert", cutTrace, "-o", "x.parquet"], /Parquet needs the package hyparquet-writer, which is not installed: npm install hyparquet hyparquet-writer/],
		[["convert", cutTrace, "-o", "x.arrow"], /Arrow needs the package apache-arrow, which is not installed: npm install apache-arrow/],
		[["sweep", cutTrace, "--redis", "redis://127.0.0.1:1"], /--redis needs the package bullmq, which is not installed: npm install bullmq ioredis/],
	]) {
		const { status, stderr } = ioasid(...args);
		assert.equal(status, 2);
		assert.match(stderr, names);
		assert.equal(stderr.trim().split("\n").length, 1);
	}
	assert.equal(ioasid("convert", cutTrace, "-o", "x.iot").status, 0);
	const swept = ioasid("sweep", "x.iot", "--grid", "iotlb=64x4,qemu-7.2", "--json");
	assert.equal(JSON.parse(swept.stdout).rows[1].figures.recorded_agree, 61_806, swept.stderr);
});

finish();
