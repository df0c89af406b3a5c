/** Miss-ratio curves of a recorded run, and caches of any geometry beside them. */
import { type CacheConfig, parseCacheConfig } from "../../engine/index.ts";
import type { TraceStream } from "../head.ts";
import { type ReplayOptions, type ReplayProgress, replayStream } from "../replay.ts";
import { streamOf } from "../stream.ts";
import type { Trace } from "../trace.ts";
import { CurveBuilder, type CurveBuilderOptions } from "./builder.ts";
import type { CurveResult, SimulatedPoint } from "./types.ts";

export interface PassOptions {
	/** only this device; invalidations stay */
	device?: string;
	signal?: AbortSignal;
	onProgress?: (progress: ReplayProgress) => void;
}

const streamed = (trace: Trace | TraceStream) => ("chunks" in trace ? trace : streamOf(trace));

/**
 * Hits of a fully associative LRU IOTLB of every size: one curve for each of `wanted`, all from one replay without an IOTLB.
 * @throws EngineError, RangeError (unknown device, a sample that is none)
 */
export async function missCurves(trace: Trace | TraceStream, wanted: readonly CurveBuilderOptions[], options: PassOptions = {}): Promise<CurveResult[]> {
	const observers = wanted.map((one) => new CurveBuilder(one));
	// tables decide, not stale pointers to them
	await replayStream(streamed(trace), { ...options, iotlb: false, walkCache: false, explain: 0, observers });
	return observers.map((builder) => builder.result());
}

/** One curve, as {@link missCurves}. */
export async function missCurve(trace: Trace | TraceStream, options: CurveBuilderOptions & PassOptions = {}): Promise<CurveResult> {
	const { device, signal, onProgress, ...building } = options;
	const [result] = await missCurves(trace, [building], {
		...(device === undefined ? {} : { device }),
		...(signal === undefined ? {} : { signal }),
		...(onProgress === undefined ? {} : { onProgress }),
	});
	return result;
}

/**
 * Replay with each geometry, as `parseCacheConfig` reads it. Without `invalidations`, none reaches the IOTLB.
 * @throws EngineError BadConfig, RangeError (unknown device)
 */
export async function simulate(trace: Trace | TraceStream, geometries: readonly string[], options: PassOptions & Pick<ReplayOptions, "warmUp" | "walkCache"> & { invalidations?: boolean } = {}): Promise<SimulatedPoint[]> {
	const { invalidations = true, ...rest } = options;
	const points: SimulatedPoint[] = [];
	for (const geometry of geometries) {
		const iotlb: CacheConfig = parseCacheConfig(geometry);
		const { iotlb: found, perDevice } = await replayStream(streamed(trace), { ...rest, iotlb, explain: 0, ignoreInvalidations: !invalidations });
		points.push({
			geometry,
			entries: iotlb.sets * iotlb.ways,
			hits: found.hits,
			misses: found.misses,
			references: perDevice.reduce((sum, { references }) => sum + references, 0),
			perDevice: perDevice.map(({ sid, name, hits, misses }) => ({ sid, name, hits, misses })),
		});
	}
	return points;
}
