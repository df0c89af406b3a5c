/** A miss-ratio curve gathered beside a replay whose own IOTLB is off: walks decide what a cache would be filled with. */
import { ANSWER_FAULT } from "../../../assembly/layout.ts";
import type { RunColumns } from "../../engine/index.ts";
import type { ReplayObserver, Stretch } from "../observer.ts";
import { pageOf } from "../rows.ts";
import { Kind, type TraceDevice } from "../trace.ts";
import { isWarm, type WarmUp } from "../warm-up.ts";
import { HitCounts } from "./hit-counts.ts";
import { IotlbModel } from "./iotlb-model.ts";
import { hashPage } from "./page-index.ts";
import { Sampler, type SamplerOptions } from "./shards.ts";
import type { CurveAccesses, CurveResult } from "./types.ts";

export interface CurveBuilderOptions {
	/** default `engine`; see {@link CurveAccesses} */
	accesses?: CurveAccesses;
	/** default true: recorded invalidations empty the cache */
	invalidations?: boolean;
	/** leave out what comes before */
	warmUp?: WarmUp;
	/** keep a sample of the pages instead of all (SHARDS); the result is an estimate */
	sample?: SamplerOptions;
}

/** Bytes of the last page of a row's range, in 4 KiB pages; an invalidation without size goes to the end. */
function lastPage(rows: RunColumns, row: number): number {
	const size = rows.size[2 * row + 1] * 2 ** 32 + rows.size[2 * row];
	if (size === 0) return Number.POSITIVE_INFINITY;
	return pageOf(rows.iova, row) + Math.floor(((rows.iova[2 * row] & 0xfff) + size - 1) / 4096);
}

export class CurveBuilder implements ReplayObserver {
	private readonly model = new IotlbModel();
	private readonly sampler: Sampler | null;
	private readonly whole = new HitCounts();
	private readonly perDevice: HitCounts[] = [];
	private readonly perLeaf = new Map<number, HitCounts>();
	private devices: readonly TraceDevice[] = [];
	private skipped = 0;
	private seen = 0;
	private readonly options: CurveBuilderOptions & { accesses: CurveAccesses; invalidations: boolean };

	/** @throws RangeError for a sample that is none */
	constructor(options: CurveBuilderOptions = {}) {
		this.options = { accesses: "engine", invalidations: true, ...options };
		this.sampler = options.sample === undefined ? null : new Sampler(options.sample);
	}

	observe({ rows, from, to, time, devices, domains }: Stretch): void {
		this.devices = devices;
		while (this.perDevice.length < devices.length) this.perDevice.push(new HitCounts());
		const { kind, id, pasid, flags, iova, answer, leaf, rights } = rows;
		const addresses = this.options.accesses === "addresses";
		for (let row = from; row < to; row++) {
			const what = kind[row];
			if (what === Kind.invalidate) {
				if (this.options.invalidations) this.invalidate(flags[row], id[row], pasid[row], pageOf(iova, row), lastPage(rows, row));
				continue;
			}
			const device = id[row];
			if ((what !== Kind.dma && what !== Kind.fault) || device >= devices.length) continue;
			const domain = domains[device] & 0xffff;
			const counted = isWarm(this.options.warmUp, this.seen + row - from, time[row]);
			if (addresses) {
				this.access(device, counted, domain, pageOf(iova, row), 12, 7, flags[row]);
			} else if (leaf[row] !== 0 || answer[row] & ANSWER_FAULT) {
				// an interrupt looks nothing up
				this.access(device, counted, domain, pageOf(iova, row), leaf[row], rights[row], flags[row]);
			}
		}
		this.seen += to - from;
	}

	private invalidate(scope: number, domain: number, pasid: number, first: number, last: number): void {
		if (this.sampler === null) this.model.invalidate(scope, domain, pasid, first, last);
		else for (const model of this.sampler.models) model.invalidate(scope, domain, pasid, first, last);
	}

	private access(device: number, counted: boolean, domain: number, page: number, leaf: number, rights: number, access: number): void {
		if (!counted) this.skipped++;
		const counts = counted ? [this.whole, this.perDevice[device], this.countsOf(leaf)] : [];
		for (const count of counts) count.accesses++;
		if (this.sampler !== null) {
			const size = leaf === 0 ? 12 : leaf;
			const hash = hashPage(domain * 64 + size, Math.floor(page / 2 ** (size - 12)));
			this.sampler.access(hash, domain, page, leaf, rights, access, counts);
			return;
		}
		const { model } = this;
		model.access(domain, page, leaf, rights, access);
		for (let i = 0; i < model.starts.length; i++) {
			for (const count of counts) {
				count.add(model.starts[i], 1);
				if (model.ends[i] !== Number.POSITIVE_INFINITY) count.add(model.ends[i], -1);
			}
		}
	}

	private countsOf(leaf: number): HitCounts {
		let counts = this.perLeaf.get(leaf);
		if (counts === undefined) {
			counts = new HitCounts();
			this.perLeaf.set(leaf, counts);
		}
		return counts;
	}

	/** The curve of what was observed so far. */
	result(): CurveResult {
		const { sampler, whole } = this;
		return {
			version: 1,
			method: sampler === null ? "exact" : "shards",
			accesses: this.options.accesses,
			invalidations: this.options.invalidations,
			whole: whole.curve(),
			perDevice: this.devices.map(({ rid, name }, i) => ({ sid: rid, name, curve: this.perDevice[i].curve() })),
			perPageSize: [...this.perLeaf].sort(([a], [b]) => a - b).map(([leaf, counts]) => ({ bytes: leaf === 0 ? null : 2 ** leaf, curve: counts.curve() })),
			warmUp: this.skipped,
			ambiguous: sampler === null ? this.model.ambiguous : sampler.models[0].ambiguous,
			sampling: sampler === null ? null : sampler.sampling(whole.curve()),
			notes: [],
		};
	}
}
