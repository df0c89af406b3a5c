// The in-memory replay loop: answers compared, beside the same with every cached answer checked.
import { EVENTS, eventRun } from "./events.mjs";
import { line, measure } from "./measure.mjs";

export async function replay() {
	line("in-memory replay (events per second, median)", "M events/s");
	for (const [title, options] of [
		["every answer compared", { verify: false }],
		["and every cached answer checked for staleness", { verify: true }],
	]) {
		const { run, counts } = eventRun();
		if (!options.verify) console.log(`  of ${EVENTS}: ${Object.entries(counts).map(([kind, n]) => `${kind} ${((100 * n) / EVENTS).toFixed(0)}%`).join(", ")}`);
		run.run(0, EVENTS, options);
		const first = run.device(0);
		if (first.wrong + first.unexplained > 0) throw new Error(`the run's answers are wrong: ${JSON.stringify(first)}`);
		const results = await measure({ run: () => run.run(0, EVENTS, options) });
		line(title, (EVENTS / results.run / 1e3).toFixed(1));
	}
}
