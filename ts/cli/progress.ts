import cliProgress from "cli-progress";
import type { ReplayProgress } from "../replay/replay.ts";

/** A bar that has been started. */
export interface Bar<Update> {
	update(progress: Update): void;
	stop(): void;
}

/** A bar on a terminal, nothing elsewhere. */
function bar(format: string, payload: object): cliProgress.SingleBar | null {
	if (!process.stderr.isTTY) return null;
	const made = new cliProgress.SingleBar({ format, stream: process.stderr, clearOnComplete: true, hideCursor: true }, cliProgress.Presets.rect);
	made.start(1, 0, payload);
	return made;
}

/** For an import and a replay. */
export function replayBar(): Bar<ReplayProgress> {
	const shown = bar("{phase} {bar} {percentage}%", { phase: "import" });
	return {
		update: (p) => {
			if (shown === null || p.total === null || p.total === 0) return;
			shown.setTotal(p.total);
			shown.update(p.phase === "import" ? p.loaded : p.done, { phase: p.phase === "import" ? `import ${p.file}` : "replay" });
		},
		stop: () => shown?.stop(),
	};
}

/** For jobs that end in any order. */
export function jobsBar(total: number): Bar<number> {
	const shown = bar("sweep {bar} {value}/{total} runs, {eta_formatted} left", {});
	shown?.setTotal(total);
	return { update: (done) => shown?.update(done), stop: () => shown?.stop() };
}
