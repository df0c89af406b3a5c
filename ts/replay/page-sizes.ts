import { ANSWER_DEVICE_TLB, ANSWER_FAULT, ANSWER_HIT } from "../../assembly/layout.ts";
import type { ReplayObserver, Stretch } from "./observer.ts";
import type { PageSizeFigures } from "./summary.ts";
import { Kind } from "./trace.ts";

/** Hits and misses of the IOTLB by the size of the leaf that answered. */
export class PageSizes implements ReplayObserver {
	/** by lg2 bytes; 0: a fault, which no leaf answers */
	private readonly hits = new Float64Array(64);
	private readonly misses = new Float64Array(64);

	observe({ rows: { kind, answer, leaf }, from, to }: Stretch): void {
		for (let row = from; row < to; row++) {
			if (kind[row] !== Kind.dma && kind[row] !== Kind.fault) continue;
			// the IOTLB was not asked
			if (answer[row] & ANSWER_DEVICE_TLB) continue;
			if (answer[row] & ANSWER_HIT) this.hits[leaf[row]]++;
			else if (leaf[row] !== 0 || answer[row] & ANSWER_FAULT) this.misses[leaf[row]]++;
		}
	}

	figures(): PageSizeFigures[] {
		const out: PageSizeFigures[] = [];
		for (let lg2 = 0; lg2 < 64; lg2++) {
			const [hits, misses] = [this.hits[lg2], this.misses[lg2]];
			if (hits + misses > 0) out.push({ bytes: lg2 === 0 ? null : 2 ** lg2, hits, misses });
		}
		return out;
	}
}
