import { type Device, type Loan, Machine, type Space } from "../core/index.ts";
import { drivers } from "../driver/index.ts";
import { type CacheConfig, Engine, type EventRun, type UnitConfig } from "../engine/index.ts";
import { driversOf } from "../iommu/index.ts";
import { type DirectMachine, type DirectOptions, setUpDirect } from "./direct-machine.ts";
import { CHUNK_EVENTS } from "./file/format.ts";
import { formatOf, type ReplayFormatName } from "./formats.ts";
import type { TraceHead } from "./head.ts";

export type IotlbChoice = CacheConfig | "qemu-7.2" | "qemu-10";

/** The hardware that a trace is replayed on. */
export interface HardwareOptions extends DirectOptions {
	/** default 64 sets of 4, LRU; `qemu-*` are QEMU's tables with their invalidation rules */
	iotlb?: IotlbChoice | false;
	/** paging-structure caches; default true */
	walkCache?: boolean;
	/** default true */
	contextCache?: boolean;
	/** a walk fetches the next page's translation too; default false */
	prefetch?: boolean;
	/** a TLB of this geometry in each device, which uses ATS; default none */
	deviceTlb?: CacheConfig | false;
}

/** A machine set up for one trace, its spaces lent to the engine. */
export interface ReplayMachine {
	run: EventRun;
	/** the one that was asked for; null: second-stage tables of VT-d */
	format: ReplayFormatName | null;
	/** domain id of each device, as recorded or, where nobody said, one of those left */
	domains: number[];
	/** see {@link DirectMachine.admit} */
	admit?: DirectMachine["admit"];
	dispose(): void;
}

/** Page-table levels where the recorder never said: 48-bit tables are what VT-d machines have at least. */
const LEVELS = 4;

/** QEMU's IOTLB: 1024 entries, keyed by requester and page, emptied before the insert that would exceed it. */
const QEMU_IOTLB: CacheConfig = { sets: 1, ways: 1024, replacement: "clear" };

function unitConfig(options: HardwareOptions, devices: number): UnitConfig {
	const { iotlb, walkCache = true, contextCache = true, deviceTlb } = options;
	const qemu = iotlb === "qemu-7.2" || iotlb === "qemu-10";
	return {
		architecture: "vtd",
		...(qemu ? { iotlb: QEMU_IOTLB, quirks: { sourceTag: true, pageLow8: iotlb === "qemu-7.2" } } : iotlb === undefined ? {} : { iotlb }),
		...(walkCache ? {} : { walkCache: false, secondCache: false }),
		...(contextCache ? {} : { contextCache: false }),
		...(deviceTlb ? { deviceTlb: { ...deviceTlb, devices: Math.max(1, devices) } } : {}),
	};
}

/**
 * Set up devices and spaces as the trace recorded them: one space for each domain (devices of one domain share its
 * table), one for each device whose domain nobody said. Each space is then lent to the engine.
 */
export function setUpMachine(trace: TraceHead, options: HardwareOptions): ReplayMachine {
	const { devices } = trace;
	// requests of a device-TLB have no words of their own in core's tables of legacy mode
	const format = options.nested === undefined ? (formatOf(options, trace) ?? (options.deviceTlb ? "vtd-second" : null)) : "vtd-first";
	const unit = unitConfig(options, devices.length);
	if (format !== null) return { ...setUpDirect(trace, format, options.nested, unit, CHUNK_EVENTS), format };
	const engine = Engine.create({
		units: [unit],
		tables: { frames: trace.frames, count: Math.max(1, devices.length) },
		run: { events: CHUNK_EVENTS, devices: Math.max(1, devices.length) },
	});
	const machine = new Machine(engine, driversOf(engine));
	const spaces = new Map<number, Space>();
	const made: Device[] = [];
	const seats: Space[] = [];
	// devices of known domains first, so that the others are given what is left
	const order = devices.map((_, i) => i).sort((a, b) => Number(devices[a].domain === null) - Number(devices[b].domain === null));
	for (const i of order) {
		const { segment, rid, domain, levels } = devices[i];
		const device = machine.addDevice({ segment, rid, driver: drivers["vfio-pci"] });
		const space = (domain === null ? undefined : spaces.get(domain)) ?? machine.createSpace();
		if (domain !== null) spaces.set(domain, space);
		machine.attach(device, space, { ...(domain === null ? {} : { domain }), levels: levels ?? LEVELS });
		made[i] = device;
		seats[i] = space;
	}
	const loans = new Map<Space, Loan>();
	for (const space of seats) if (!loans.has(space)) loans.set(space, space.lend());
	return {
		format: null,
		run: engine.createRun(
			engine.units[0],
			devices.map(({ rid }, i) => ({ rid, table: loans.get(seats[i])?.table ?? null })),
		),
		domains: seats.map((space) => loans.get(space)?.domain ?? 0),
		dispose() {
			for (const [space, loan] of loans) space.takeBack(loan);
			for (const device of made) machine.detach(device);
			engine.dispose();
		},
	};
}
