/** Latency per event, from a table of costs that the user gives. */
import type { RequestCosts } from "../engine/index.ts";
import type { ReplayObserver, Stretch } from "./observer.ts";
import type { LatencyFigures } from "./summary.ts";
import { Kind } from "./trace.ts";

/** What a request costs, as its file says (README, "Latency"). */
export interface CostTable extends RequestCosts {
	/** `ns`, `cycles` ...: shown, never converted */
	unit?: string;
	/** one memory reference at every level that `first`, `second` and `tables` do not name */
	reference?: number;
}

const LEVELS = 8;
const KEYS = ["unit", "hit", "deviceTlb", "miss", "reference", "first", "second", "tables"];

/** @throws RangeError naming the field that is no cost */
export function parseCostTable(json: unknown): CostTable {
	if (typeof json !== "object" || json === null || Array.isArray(json)) throw new RangeError("a table of costs is a JSON object");
	for (const [key, value] of Object.entries(json)) {
		if (!KEYS.includes(key)) throw new RangeError(`table of costs: unknown field "${key}"; there are ${KEYS.join(", ")}`);
		const cost = (n: unknown) => typeof n === "number" && Number.isFinite(n) && n >= 0;
		if (key === "unit") {
			if (typeof value !== "string") throw new RangeError("table of costs: unit must be text");
		} else if (["first", "second", "tables"].includes(key)) {
			if (!Array.isArray(value) || value.length > LEVELS || !value.every(cost)) throw new RangeError(`table of costs: ${key} must be a list of at most ${LEVELS} numbers of at least 0`);
		} else if (!cost(value)) throw new RangeError(`table of costs: ${key} must be a number of at least 0`);
	}
	return json as CostTable;
}

/** The engine's table: every level named. */
export function requestCosts({ hit = 0, deviceTlb = 0, miss = 0, reference = 0, first = [], second = [], tables = [] }: CostTable): RequestCosts {
	const all = (levels: readonly number[]) => Array.from({ length: LEVELS }, (_, level) => levels[level] ?? reference);
	return { hit, deviceTlb, miss, first: all(first), second: all(second), tables: all(tables) };
}

/** Values with their counts. A walk costs one of few sums, so that this is exact and small. */
class Spread {
	private readonly counts = new Map<number, number>();
	private count = 0;
	private sum = 0;

	add(cost: number): void {
		this.counts.set(cost, (this.counts.get(cost) ?? 0) + 1);
		this.count++;
		this.sum += cost;
	}

	figures(): { count: number; mean: number; p50: number; p99: number; most: number } {
		const sorted = [...this.counts].sort(([a], [b]) => a - b);
		// the smallest cost that this share of the events does not exceed
		const at = (share: number) => {
			let seen = 0;
			for (const [cost, count] of sorted) {
				seen += count;
				if (seen >= share * this.count) return cost;
			}
			return 0;
		};
		return { count: this.count, mean: this.count === 0 ? 0 : this.sum / this.count, p50: at(0.5), p99: at(0.99), most: sorted[sorted.length - 1]?.[0] ?? 0 };
	}
}

export class Latency implements ReplayObserver {
	private readonly all = new Spread();
	private readonly perDevice: Spread[] = [];

	observe({ rows: { kind, id, cost }, from, to, devices }: Stretch): void {
		while (this.perDevice.length < devices.length) this.perDevice.push(new Spread());
		for (let row = from; row < to; row++) {
			if ((kind[row] !== Kind.dma && kind[row] !== Kind.fault) || id[row] >= devices.length) continue;
			this.all.add(cost[row]);
			this.perDevice[id[row]].add(cost[row]);
		}
	}

	figures(table: CostTable, names: readonly string[]): LatencyFigures {
		return { unit: table.unit ?? "", ...this.all.figures(), perDevice: this.perDevice.map((spread, i) => ({ name: names[i], ...spread.figures() })) };
	}
}
