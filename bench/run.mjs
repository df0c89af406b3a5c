// npm run bench [-- SUITE...]: each suite measures the engine beside a baseline in the same run. BENCH_MS sets the time of a
// measurement, BENCH_ARCH=vtd,riscv which architectures are measured.
import { replay } from "./replay.mjs";
import { translations } from "./translations.mjs";

/** One line for each suite. */
const SUITES = { translations, replay };

const names = process.argv.slice(2);
const unknown = names.filter((name) => !Object.hasOwn(SUITES, name));
if (unknown.length > 0) {
	console.error(`no suite ${unknown.join(", ")}; there are ${Object.keys(SUITES).join(", ")}`);
	process.exit(2);
}
for (const name of names.length > 0 ? names : Object.keys(SUITES)) {
	await SUITES[name]();
	console.log();
}
