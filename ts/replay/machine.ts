import { type CacheConfig, Engine, type EventRun, type PageTable, type UnitConfig } from "../engine/index.ts";
import { Kind, type Trace } from "./trace.ts";

export type IotlbChoice = CacheConfig | "qemu-7.2" | "qemu-10";

/** The hardware that a trace is replayed on. */
export interface HardwareOptions {
	/** default 64 sets of 4, LRU; `qemu-*` are QEMU's tables with their invalidation rules */
	iotlb?: IotlbChoice | false;
	/** paging-structure caches; default true */
	walkCache?: boolean;
	/** default true */
	contextCache?: boolean;
}

/** A machine set up for one trace, its spaces lent to the engine. */
export interface ReplayMachine {
	run: EventRun;
	dispose(): void;
}

/** Events of one call of the engine. */
export const CHUNK = 1 << 16;

/** QEMU's IOTLB: 1024 entries, keyed by requester and page, emptied before the insert that would exceed it. */
const QEMU_IOTLB: CacheConfig = { sets: 1, ways: 1024, replacement: "clear" };

function unitConfig(options: HardwareOptions): UnitConfig {
	const { iotlb, walkCache = true, contextCache = true } = options;
	const qemu = iotlb === "qemu-7.2" || iotlb === "qemu-10";
	return {
		architecture: "vtd",
		...(qemu ? { iotlb: QEMU_IOTLB, quirks: { sourceTag: true, pageLow8: iotlb === "qemu-7.2" } } : iotlb === undefined ? {} : { iotlb }),
		...(walkCache ? {} : { walkCache: false }),
		...(contextCache ? {} : { contextCache: false }),
	};
}

/** Frames that the tables of a trace can take at most: one for each 2 MiB and each 1 GiB that a device ever maps in. */
function framesFor(trace: Trace): number {
	const { columns, devices } = trace;
	const seen = new Set<number>();
	const cell = (device: number, level: number, index: number) => ((index * 65536 + (device & 0xffff)) % Number.MAX_SAFE_INTEGER) * 2 + level;
	for (let i = 0; i < columns.length; i++) {
		if (columns.kind[i] !== Kind.map) continue;
		const first = columns.iova[2 * i + 1] * 2048 + (columns.iova[2 * i] >>> 21);
		const span = columns.size[2 * i + 1] * 2048 + (columns.size[2 * i] >>> 21) + 1;
		for (let at = first; at <= first + Math.min(span, 4096); at++) seen.add(cell(columns.id[i], 0, at));
		seen.add(cell(columns.id[i], 1, Math.floor(first / 512)));
	}
	return 512 + 8 * devices.length + seen.size;
}

/**
 * Set up devices and spaces as the trace recorded them: one space for each domain (devices of one domain share its
 * table), one for each device whose domain nobody said.
 */
export function setUpMachine(trace: Trace, options: HardwareOptions): ReplayMachine {
	const { devices } = trace;
	const engine = Engine.create({
		units: [unitConfig(options)],
		tables: { frames: framesFor(trace), count: Math.max(1, devices.length) },
		run: { events: CHUNK, devices: Math.max(1, devices.length) },
	});
	const [unit] = engine.units;
	const byDomain = new Map<number, PageTable>();
	const used = new Set(devices.map((device) => device.domain));
	let next = 1;
	const tables = devices.map((device) => {
		const known = device.domain === null ? undefined : byDomain.get(device.domain);
		const table = known ?? engine.createTable({ format: "vtd-second", levels: device.levels ?? 4 });
		let domain = device.domain;
		if (domain === null) {
			while (used.has(next)) next++;
			domain = next;
			used.add(domain);
		}
		byDomain.set(domain, table);
		unit.setRoute(device.rid, { type: "second-stage", domain, table });
		return table;
	});
	return {
		run: engine.createRun(
			unit,
			devices.map((device, i) => ({ rid: device.rid, table: tables[i] })),
		),
		dispose: () => engine.dispose(),
	};
}
