/** What a thread of the pool runs: one task after the other. */
import { parentPort } from "node:worker_threads";
import type { Task } from "./plan.ts";
import { runTask } from "./run-task.ts";

parentPort?.on("message", async (task: Task) => {
	try {
		parentPort?.postMessage({ result: await runTask(task) });
	} catch (error) {
		parentPort?.postMessage({ error: error instanceof Error ? error.message : String(error) });
	}
});
