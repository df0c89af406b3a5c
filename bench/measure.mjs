import { Bench } from "tinybench";

const time = Number(process.env.BENCH_MS ?? 1500);

/** Median milliseconds of each task, measured by turns. */
export async function measure(tasks) {
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

export const line = (...cells) => console.log(cells.map((cell, i) => (i === 0 ? String(cell).padEnd(48) : String(cell).padStart(14))).join(""));
