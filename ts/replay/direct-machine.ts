/** A machine for what-ifs: tables of any format, one stage or two, routed by the engine's own words, without core. */
import { Engine, type EventRun, type PageTable, type UnitConfig } from "../engine/index.ts";
import { allowAts, atsRegisters } from "./ats-words.ts";
import { type FormatChoice, REPLAY_FORMATS, type ReplayFormat, type ReplayFormatName } from "./formats.ts";
import type { TraceHead } from "./head.ts";
import { Kind, NO_PASID } from "./trace.ts";

/** Leaves of a second stage, lg2 bytes. */
export const NESTED_LEAVES = { "4K": 12, "2M": 21, "1G": 30 } as const;

export interface DirectOptions extends FormatChoice {
	/** first-stage tables of VT-d over a second stage that maps guest memory to itself */
	nested?: {
		/** largest leaf of the second stage */
		leaf: keyof typeof NESTED_LEAVES;
		/** GiB of guest memory, by number, that maps of the trace lead to */
		gibs: readonly number[];
	};
}

/** Device tables, PASID tables, and what the second stage's upper levels take. */
const SPARE_FRAMES = 2048;

/** Domain of each device: the recorded one, or one that nobody has. */
function domainsOf({ devices }: TraceHead): number[] {
	const used = new Set(devices.map(({ domain }) => domain));
	let next = 1;
	return devices.map(({ domain }) => {
		if (domain !== null) return domain;
		while (used.has(next)) next++;
		return next++;
	});
}

/** A machine whose requesters' tables are their PASIDs' too. */
export interface DirectMachine {
	run: EventRun;
	domains: number[];
	/** Makes a route for each PASID that the requests of the first `count` rows have. @throws EngineError */
	admit(rows: { kind: Uint8Array; id: Uint32Array; pasid: Uint32Array }, count: number): void;
	dispose(): void;
}

/** @throws EngineError */
export function setUpDirect(trace: TraceHead, name: ReplayFormatName, nested: DirectOptions["nested"], unit: Omit<UnitConfig, "architecture">, events: number): DirectMachine {
	const { devices } = trace;
	const kind: ReplayFormat = REPLAY_FORMATS[name];
	const gibs = new Set(nested?.gibs ?? []);
	const nestedLeaf = nested === undefined ? 30 : NESTED_LEAVES[nested.leaf];
	// a table of the second stage for each GiB, and for each 2 MiB of it when leaves are the smallest
	const perGib = nestedLeaf === 30 ? 1 : nestedLeaf === 21 ? 2 : 514;
	const total = trace.frames + SPARE_FRAMES + 8 * devices.length;
	const guestFrames = nested === undefined ? 0 : Math.ceil(total / 512) + 8;
	const engine = Engine.create({
		units: [{ ...unit, architecture: kind.architecture, registers: { ...kind.registers, ...(unit.deviceTlb ? atsRegisters(kind.architecture) : {}) } }],
		tables: { frames: total + guestFrames + gibs.size * perGib, count: devices.length + 1 },
		run: { events, devices: Math.max(1, devices.length) },
	});
	const [iommu] = engine.units;
	const second = nested === undefined ? null : secondStage(engine, gibs, nestedLeaf);
	const domains = domainsOf(trace);
	const tables = new Map<number, PageTable>();
	for (const [i, { rid, levels }] of devices.entries()) {
		const domain = domains[i];
		let table = tables.get(domain);
		if (table === undefined) {
			table = engine.createTable({ format: kind.table, levels: Math.min(kind.levels[1], Math.max(kind.levels[0], levels ?? 4)), ...(kind.leaves === undefined ? {} : { leaves: kind.leaves }) });
			tables.set(domain, table);
		}
		iommu.setRoute(rid, second === null ? { type: kind.route, domain, table } : { type: "nested", domain, first: table, second });
		if (unit.deviceTlb) allowAts(engine, rid);
	}
	const admitted = new Set<number>();
	return {
		run: engine.createRun(
			iommu,
			devices.map(({ rid }, i) => ({ rid, table: tables.get(domains[i]) ?? null, domain: domains[i] })),
		),
		domains,
		admit(rows, count) {
			for (let row = 0; row < count; row++) {
				const [id, pasid] = [rows.id[row], rows.pasid[row]];
				if (pasid === NO_PASID || id >= devices.length || rows.kind[row] === Kind.invalidate || admitted.has(pasid * devices.length + id)) continue;
				const table = tables.get(domains[id]);
				if (table !== undefined) iommu.setRoute(devices[id].rid, { type: "first-stage", pasid, domain: domains[id], table });
				admitted.add(pasid * devices.length + id);
			}
		},
		dispose: () => engine.dispose(),
	};
}

/** Guest memory at its own addresses: what maps lead to, and the frames that hold the first stage's tables. */
function secondStage(engine: Engine, gibs: Set<number>, largestLeafLg2: number): PageTable {
	const table = engine.createTable({ format: "vtd-second", levels: 4, largestLeafLg2 });
	const rights = { read: true, write: true };
	for (const gib of gibs) table.map(BigInt(gib) << 30n, BigInt(gib) << 30n, 1n << 30n, rights);
	const { frameBase, frameCount } = engine.plan;
	const end = frameBase + BigInt(frameCount) * 4096n;
	for (let at = frameBase; at < end; ) {
		const gibEnd = ((at >> 30n) + 1n) << 30n;
		const stop = gibEnd < end ? gibEnd : end;
		if (!gibs.has(Number(at >> 30n))) table.map(at, at, stop - at, rights);
		at = stop;
	}
	return table;
}
