// npm run bench: the engine against a plain JavaScript Map walker, and the in-memory replay loop.
import { Bench } from "tinybench";
import { EVENTS, eventRun } from "./events.mjs";
import { BATCH, machines } from "./machines.mjs";

const time = Number(process.env.BENCH_MS ?? 1500);
let keep = 0;

async function measure(tasks) {
	const bench = new Bench({ time, warmupTime: time / 3 });
	for (const [name, run] of Object.entries(tasks)) bench.add(name, run);
	await bench.run();
	return Object.fromEntries(
		bench.tasks.map((task) => {
			if (!task.result || !("latency" in task.result)) throw new Error(`${task.name}: ${task.result?.error ?? "no result"}`);
			return [task.name, task.result.latency.p50];
		}),
	);
}

const line = (...cells) => console.log(cells.map((cell, i) => (i === 0 ? String(cell).padEnd(44) : String(cell).padStart(14))).join(""));

line("translations (ns each, median)", "engine", "JavaScript", "ratio");
for (const [title, pages, devices] of [
	["1,024 hot pages, 1 device", 1024, 1],
	["262,144 random pages, 64 devices", 262_144, 64],
]) {
	const { unit, js, iova, rid } = machines(pages, devices);
	const results = await measure({
		engine: () => {
			keep += unit.batch(BATCH);
		},
		js: () => {
			let sum = 0;
			for (let i = 0; i < BATCH; i++) sum += js.translate(rid[i], iova[i], 1);
			keep += sum;
		},
	});
	const ns = (ms) => (ms * 1e6) / BATCH;
	line(title, ns(results.engine).toFixed(1), ns(results.js).toFixed(1), `${(results.js / results.engine).toFixed(1)}x`);
}

console.log();
line("in-memory replay (events per second, median)", "M events/s");
for (const [title, options] of [
	["every answer compared", { verify: false }],
	["and every cached answer checked for staleness", { verify: true }],
]) {
	const { run, counts } = eventRun();
	if (title.startsWith("every")) console.log(`  of ${EVENTS}: ${Object.entries(counts).map(([kind, n]) => `${kind} ${((100 * n) / EVENTS).toFixed(0)}%`).join(", ")}`);
	run.run(0, EVENTS, options);
	const first = run.device(0);
	if (first.wrong + first.unexplained > 0) throw new Error(`the run's answers are wrong: ${JSON.stringify(first)}`);
	const results = await measure({ run: () => run.run(0, EVENTS, options) });
	line(title, (EVENTS / results.run / 1e3).toFixed(1));
}
if (Number.isNaN(keep)) console.log(keep);
