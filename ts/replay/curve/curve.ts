/** Miss-ratio curves of a recorded run, and caches of any geometry beside them. */
import { type CacheConfig, parseCacheConfig } from "../../engine/index.ts";
import { type ReplayOptions, replayTrace } from "../replay.ts";
import type { Trace } from "../trace.ts";
import { CurveBuilder, type CurveBuilderOptions } from "./builder.ts";
import type { CurveResult, SimulatedPoint } from "./types.ts";

export interface CurveOptions extends CurveBuilderOptions {
	/** only this device; invalidations stay */
	device?: string;
	signal?: AbortSignal;
	onProgress?: ReplayOptions["onProgress"];
}

/**
 * Hits of a fully associative LRU IOTLB of every size, from one replay without an IOTLB.
 * @throws EngineError, RangeError (unknown device, a sample that is none)
 */
export async function missCurve(trace: Trace, options: CurveOptions = {}): Promise<CurveResult> {
	const { device, signal, onProgress, ...building } = options;
	const builder = new CurveBuilder(building);
	await replayTrace(trace, {
		iotlb: false,
		// tables decide, not stale pointers to them
		walkCache: false,
		explain: 0,
		observers: [builder],
		...(device === undefined ? {} : { device }),
		...(signal === undefined ? {} : { signal }),
		...(onProgress === undefined ? {} : { onProgress }),
	});
	return builder.result();
}

/**
 * Replay with each geometry, as `parseCacheConfig` reads it. Without `invalidations`, none reaches the IOTLB.
 * @throws EngineError BadConfig, RangeError (unknown device)
 */
export async function simulate(trace: Trace, geometries: readonly string[], options: Pick<ReplayOptions, "device" | "warmUp" | "walkCache" | "signal" | "onProgress"> & { invalidations?: boolean } = {}): Promise<SimulatedPoint[]> {
	const { invalidations = true, ...rest } = options;
	const points: SimulatedPoint[] = [];
	for (const geometry of geometries) {
		const iotlb: CacheConfig = parseCacheConfig(geometry);
		const { iotlb: found, perDevice } = await replayTrace(trace, { ...rest, iotlb, explain: 0, ignoreInvalidations: !invalidations });
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
