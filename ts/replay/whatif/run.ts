/** Replaying one trace as it was and under what-ifs. */
import type { RunDeviceCounters, UnitCounters } from "../../engine/index.ts";
import type { TraceStream } from "../head.ts";
import type { ReplayObserver, Stretch } from "../observer.ts";
import { type ReplayOptions, replayStream } from "../replay.ts";
import { streamOf } from "../stream.ts";
import { Kind, Scope, type Trace } from "../trace.ts";
import type { Change, Outcome, Subject } from "./contract.ts";
import { whatIfs } from "./index.ts";
import type { WhatIfFigures, WhatIfReport, WhatIfVariant } from "./types.ts";

/** One what-if with its value, as the registry's `parse` returns it. */
export interface Choice {
	name: string;
	value: unknown;
}

export interface WhatIfOptions {
	/** add a variant with all choices at once, in the order of the list */
	together?: boolean;
}

/** The unit and the devices as they stood at the end. */
class Last implements ReplayObserver {
	unit: UnitCounters | null = null;
	devices: RunDeviceCounters[] = [];
	tableFrames = 0;
	invalidations = 0;

	observe({ run, rows: { kind, flags }, from, to, devices }: Stretch): void {
		for (let row = from; row < to; row++) if (kind[row] === Kind.invalidate && flags[row] !== Scope.device) this.invalidations++;
		this.tableFrames = Math.max(this.tableFrames, run.tableFrames);
		this.unit = run.unit.counters();
		this.devices = devices.map((_, i) => run.device(i));
	}
}

const untilLast = (levels: readonly number[]) => levels.slice(0, levels.findLastIndex((n) => n > 0) + 1);

async function replayed({ trace, options }: Subject): Promise<{ figures: WhatIfFigures; outcome: Outcome }> {
	const last = new Last();
	const summary = await replayStream(trace, { ...options, explain: 0, observers: [...(options.observers ?? []), last] });
	const { dma, iotlb } = summary;
	return {
		figures: {
			events: summary.events,
			dma: dma.total,
			invalidations: last.invalidations,
			hits: iotlb.hits,
			misses: iotlb.misses,
			references: summary.perDevice.reduce((sum, { references }) => sum + references, 0),
			referencesByLevel: { first: untilLast(last.unit?.references.first ?? []), second: untilLast(last.unit?.references.second ?? []) },
			stale: dma.stale,
			unexplained: dma.unexplained,
			wrongAddress: dma.wrongAddress,
			tableFrames: last.tableFrames,
		},
		outcome: { summary, devices: last.devices },
	};
}

function find(name: string) {
	const found = whatIfs.find((whatIf) => whatIf.name === name);
	if (found === undefined) throw new RangeError(`no what-if "${name}"; there are ${whatIfs.map((whatIf) => whatIf.name).join(", ")}`);
	return found;
}

async function variantOf(base: Subject, name: string, choices: readonly Choice[]): Promise<WhatIfVariant> {
	let subject = base;
	const changes: Change[] = [];
	for (const choice of choices) {
		const change = await find(choice.name).apply(subject, choice.value);
		changes.push(change);
		subject = { trace: change.trace, options: change.options };
	}
	const { figures, outcome } = await replayed(subject);
	return {
		name,
		title: choices.map((choice) => find(choice.name).title(choice.value)).join(", "),
		figures,
		extra: changes.flatMap(({ extra = [], after }) => [...extra, ...(after?.(outcome) ?? [])]),
		notes: changes.flatMap(({ notes = [] }) => notes),
	};
}

/**
 * Replay a trace as it is, and once for each choice. One that streams is read again for each, and never held. @throws RangeError (an unknown what-if, a trace that cannot be changed
 * so), EngineError
 */
export async function whatIf(trace: Trace | TraceStream, choices: readonly Choice[], options: ReplayOptions & WhatIfOptions = {}): Promise<WhatIfReport> {
	const { together = false, ...replaying } = options;
	const base: Subject = { trace: "columns" in trace ? streamOf(trace) : trace, options: replaying };
	const { figures } = await replayed(base);
	const variants: WhatIfVariant[] = [];
	for (const choice of choices) variants.push(await variantOf(base, choice.name, [choice]));
	if (together && choices.length > 1) variants.push(await variantOf(base, "together", choices));
	return { version: 1, base: figures, variants };
}
