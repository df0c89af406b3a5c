import { type Device, type Loan, Machine, type Space } from "../core/index.ts";
import { drivers } from "../driver/index.ts";
import { type CacheConfig, Engine, type EventRun, type UnitConfig } from "../engine/index.ts";
import { driversOf } from "../iommu/index.ts";
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
	/** a walk fetches the next page's translation too; default false */
	prefetch?: boolean;
}

/** A machine set up for one trace, its spaces lent to the engine. */
export interface ReplayMachine {
	run: EventRun;
	/** domain id of each device, as recorded or, where nobody said, one of those left */
	domains: number[];
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
 * table), one for each device whose domain nobody said. Each space is then lent to the engine.
 */
export function setUpMachine(trace: Trace, options: HardwareOptions): ReplayMachine {
	const { devices } = trace;
	const engine = Engine.create({
		units: [unitConfig(options)],
		tables: { frames: framesFor(trace), count: Math.max(1, devices.length) },
		run: { events: CHUNK, devices: Math.max(1, devices.length) },
	});
	const machine = new Machine(engine, driversOf(engine));
	const spaces = new Map<number, Space>();
	const made: Device[] = [];
	const seats: Space[] = [];
	const domains: number[] = [];
	// devices of known domains first, so that the others are given what is left
	const order = devices.map((_, i) => i).sort((a, b) => Number(devices[a].domain === null) - Number(devices[b].domain === null));
	for (const i of order) {
		const { segment, rid, domain, levels } = devices[i];
		const device = machine.addDevice({ segment, rid, driver: drivers["vfio-pci"] });
		const space = (domain === null ? undefined : spaces.get(domain)) ?? machine.createSpace();
		if (domain !== null) spaces.set(domain, space);
		const attachment = machine.attach(device, space, { ...(domain === null ? {} : { domain }), ...(levels === null ? {} : { levels }) });
		made[i] = device;
		seats[i] = space;
		domains[i] = attachment.domain;
	}
	const loans = new Map<Space, Loan>();
	for (const space of seats) if (!loans.has(space)) loans.set(space, space.lend());
	return {
		run: engine.createRun(
			engine.units[0],
			devices.map(({ rid }, i) => ({ rid, table: loans.get(seats[i])?.table ?? null })),
		),
		domains,
		dispose() {
			for (const [space, loan] of loans) space.takeBack(loan);
			for (const device of made) machine.detach(device);
			engine.dispose();
		},
	};
}
