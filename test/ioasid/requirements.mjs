/**
 * Which test claims which requirement of the /dev/ioasid threads: `node test/ioasid/requirements.mjs`. Ids stand in the
 * names of tests and in the sources of the scenarios; what has neither wants a reason in requirements-reasons.json.
 */
import { readdirSync, readFileSync } from "node:fs";
import { fileURLToPath } from "node:url";
import { gunzipSync } from "node:zlib";

const TEST = new URL("../", import.meta.url);
const read = (name) => readFileSync(new URL(name, TEST), "utf8");
const json = (name) => JSON.parse(read(name));

/** Names of tests in the source of a test file. */
function namesIn(source) {
	return [...source.matchAll(/\b(?:describe|it|test|flows?)\(\s*(["'`])((?:(?!\1).)+)\1/g)].map(([, , name]) => name);
}

/** @returns tests by requirement, and the ids that have neither a test nor a reason, or a reason that is not needed */
export function claims() {
	const titles = json("ioasid/requirements.json");
	const reasons = json("ioasid/requirements-reasons.json");
	const tests = new Map(Object.keys(titles).map((id) => [id, []]));
	const claim = (text, test) => {
		for (const [id] of text.matchAll(/\b[A-Z]{2,3}\d+\b/g)) tests.get(id)?.push(test);
	};
	for (const file of readdirSync(TEST, { recursive: true })) {
		if (!/\.test\.ts$/.test(file)) continue;
		for (const name of namesIn(read(file))) claim(name, `${file}: ${name}`);
	}
	const { scenarios } = JSON.parse(gunzipSync(readFileSync(new URL("scenarios/ioasid.json.gz", TEST))).toString("utf8"));
	for (const { id, source } of scenarios) claim(source, `scenario ${id}`);
	const missing = [...tests].filter(([id, list]) => list.length === 0 && reasons[id] === undefined).map(([id]) => id);
	const needless = Object.keys(reasons).filter((id) => !tests.has(id) || (tests.get(id) ?? []).length > 0);
	return { titles, reasons, tests, missing, needless };
}

if (process.argv[1] === fileURLToPath(import.meta.url)) {
	const { titles, reasons, tests, missing, needless } = claims();
	for (const [id, list] of tests) {
		process.stdout.write(`${id.padEnd(6)} ${titles[id]}\n`);
		for (const test of list) process.stdout.write(`       - ${test}\n`);
		if (reasons[id] !== undefined) process.stdout.write(`       no test: ${reasons[id]}\n`);
	}
	for (const id of missing) process.stderr.write(`${id}: neither a test nor a reason\n`);
	for (const id of needless) process.stderr.write(`${id}: its reason is not needed\n`);
	process.exitCode = missing.length + needless.length > 0 ? 1 : 0;
}
