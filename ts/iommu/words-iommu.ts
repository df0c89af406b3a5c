import type { AddressRange, CacheSelection, RequesterState } from "../core/index.ts";
import { EngineIommu } from "./engine-iommu.ts";
import type { EngineTable } from "./engine-table.ts";
import { RouteFrames } from "./route-frames.ts";

/** A unit whose device table has one entry for each requester, written whole, with tables behind it that live as long as the entry. */
export abstract class WordsIommu extends EngineIommu {
	private readonly frames = new Map<number, RouteFrames>();

	/** First word of an entry that stops every request while the others change. */
	protected abstract readonly closed: bigint;
	/** Index of a word, and its bit that lets the device use ATS; another that lets it make page requests, where the entry has one. */
	protected abstract readonly atsBit: readonly [word: number, bit: bigint];
	protected readonly priBit: readonly [word: number, bit: bigint] | null = null;

	/** Physical address of a requester's entry; its table is made when it is not there. @throws EngineError OutOfFrames */
	protected abstract entryOf(rid: number): bigint;
	/** Words of an entry; what they lead to goes into `frames`. @throws EngineError, CoreError */
	protected abstract wordsOf(rid: number, state: RequesterState, base: EngineTable | null, frames: RouteFrames): bigint[];
	/** Tag of what two stages made for a requester. */
	protected abstract nestedTag(rid: number): number | undefined;

	/** Frames of a requester, as hardware reads them: at addresses of the second stage `base`. */
	protected framesOf(base: EngineTable | null): RouteFrames {
		return new RouteFrames(this.engine, base);
	}

	protected write(rid: number, _old: RequesterState, next: RequesterState): void {
		const base = this.baseOf(next);
		const frames = this.framesOf(base);
		let words: bigint[];
		let at: bigint;
		try {
			words = this.wordsOf(rid, next, base, frames);
			at = this.entryOf(rid);
		} catch (error) {
			frames.dispose();
			throw error;
		}
		if (this.usesAts(next)) words[this.atsBit[0]] |= this.atsBit[1];
		if (this.priBit !== null && this.usesPri(next)) words[this.priBit[0]] |= this.priBit[1];
		const { memory } = this.engine;
		memory.write64(at, this.closed);
		words.slice(1).forEach((word, i) => {
			memory.write64(at + BigInt(8 * (i + 1)), word);
		});
		memory.write64(at, words[0]);
		this.unit.invalidate({ scope: "device", rid });
		this.frames.get(rid)?.dispose();
		this.frames.set(rid, frames);
	}

	protected dropRoute(rid: number, _pasid: number | null | "all", caches: CacheSelection, _range?: AddressRange): void {
		if (caches.pasid) this.unit.invalidate({ scope: "device", rid });
		const domain = this.nestedTag(rid);
		if (caches.iotlb && domain !== undefined) this.unit.invalidate({ scope: "domain", domain, caches: ["iotlb"] });
	}
}
