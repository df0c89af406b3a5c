/** One job of a sweep: the figures of one replay. Times are left out, so that the same job gives the same bytes anywhere. */
import { ReplayError } from "../../replay/errors.ts";
import type { TraceStream } from "../../replay/head.ts";
import { replayStream } from "../../replay/replay.ts";
import { openTrace } from "../../replay/stream.ts";
import type { ReplaySummary } from "../../replay/summary.ts";
import { hashOf, type Task } from "./plan.ts";

export interface Result {
	/** by name, in the order of the columns of the results */
	figures: Record<string, number>;
	devices: Omit<ReplaySummary["perDevice"][number], "sid">[];
}

/** The trace used last; jobs of one trace come together. */
let open: { key: string; trace: TraceStream } | null = null;

/** Runs one job. @throws ReplayError when the files are not those that were planned */
export async function runTask({ files, hash, options }: Task): Promise<Result> {
	const key = `${hash} ${files.join(" ")}`;
	if (open?.key !== key) {
		open = null;
		if ((await hashOf(files)) !== hash) throw new ReplayError("mismatch", `${files.join(", ")}: not the contents that the sweep was planned with`);
		open = { key, trace: await openTrace(files) };
	}
	return resultOf(await replayStream(open.trace, { ...options, explain: 0 }));
}

function resultOf({ events, dma, iotlb, recorded, faults, deviceTlb, perDevice, replacedMaps, refusedEdits }: ReplaySummary): Result {
	const references = perDevice.reduce((sum, device) => sum + device.references, 0);
	const lookups = iotlb.hits + iotlb.misses;
	return {
		figures: {
			events,
			dma: dma.total,
			matched: dma.matched,
			wrong_address: dma.wrongAddress,
			unexplained: dma.unexplained,
			stale: dma.stale,
			iotlb_hits: iotlb.hits,
			iotlb_misses: iotlb.misses,
			device_tlb_hits: deviceTlb?.hits ?? 0,
			translation_requests: deviceTlb?.requests ?? 0,
			invalidate_requests: deviceTlb?.invalidations ?? 0,
			hit_rate: lookups === 0 ? 0 : iotlb.hits / lookups,
			walk_references: references,
			references_per_dma: dma.total === 0 ? 0 : references / dma.total,
			recorded_agree: recorded.agree,
			recorded_disagree: recorded.disagree,
			faults_recorded: faults.recorded,
			faults_matched: faults.matched,
			replaced_maps: replacedMaps,
			refused_edits: refusedEdits,
		},
		devices: perDevice.map(({ sid: _, ...device }) => device),
	};
}
