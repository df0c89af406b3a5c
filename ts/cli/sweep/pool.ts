/** Threads that run tasks, so that the main thread stays free for journals, progress and locks. */
import { Worker } from "node:worker_threads";
import type { Task } from "./plan.ts";
import type { Result } from "./run-task.ts";

interface Waiting {
	task: Task;
	resolve(result: Result): void;
	reject(error: Error): void;
}

export class ThreadPool {
	private readonly size: number;
	/** with what each thread is doing */
	private readonly threads = new Map<Worker, Waiting | null>();
	private readonly waiting: Waiting[] = [];
	private closed = false;

	constructor(size: number) {
		this.size = size;
	}

	/** Runs a task in the next free thread; rejects with what it threw, or with what ended the thread. */
	run(task: Task): Promise<Result> {
		return new Promise((resolve, reject) => {
			this.waiting.push({ task, resolve, reject });
			this.next();
		});
	}

	/** Ends the threads, whatever they do. */
	async close(): Promise<void> {
		this.closed = true;
		await Promise.all([...this.threads.keys()].map((thread) => thread.terminate()));
	}

	private next(): void {
		if (this.closed || this.waiting.length === 0) return;
		const idle = [...this.threads].find(([, busy]) => busy === null)?.[0];
		const thread = idle ?? (this.threads.size < this.size ? this.start() : null);
		if (thread === null) return;
		const waiting = this.waiting.shift() as Waiting;
		this.threads.set(thread, waiting);
		thread.postMessage(waiting.task);
	}

	private start(): Worker {
		const thread = new Worker(new URL("./thread.js", import.meta.url));
		this.threads.set(thread, null);
		thread.on("message", (answer: { result: Result } | { error: string }) => {
			const done = this.threads.get(thread);
			this.threads.set(thread, null);
			if ("result" in answer) done?.resolve(answer.result);
			else done?.reject(new Error(answer.error));
			this.next();
		});
		// out of memory ends the thread alone; another one takes its place
		const gone = (error: Error) => {
			const lost = this.threads.get(thread);
			this.threads.delete(thread);
			lost?.reject(error);
			this.next();
		};
		thread.on("error", gone);
		thread.on("exit", (code) => gone(new Error(`the thread ended with code ${code}`)));
		return thread;
	}
}
