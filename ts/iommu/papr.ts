import { type AddressRange, type CacheSelection, CoreError, type DmaAnswer, type IommuCapabilities, type IommuDriver, type IommuTable, type RequesterState, type TableContent, type Target, type Window } from "../core/index.ts";
import type { Engine, Unit } from "../engine/index.ts";
import type { UnitSetting } from "./engine-iommu.ts";
import { refused } from "./engine-table.ts";
import { TagPool } from "./tags.ts";
import { HALF_BITS, SpaceTable, TceTable, tcePage } from "./tce-table.ts";

const ENABLED = 1n << 63n;
const PAGE_BYTES = 4096;
/** RTT of 65,536 entries of 2 bytes */
const RTT_ORDER = 5;
/** PE of requesters without a route: its TVEs are never written */
const NOBODY = 0;
/** PE of the host's own requesters: 2^50 addresses as they come */
const HOST = 1;
/** IODA3 untranslated: TVE[51], end 2^50 less 16 MiB */
const UNTRANSLATED = (0xff_ffffn << 16n) | (1n << 12n) | (3n << 8n);
/** CONTROL of assembly/device/papr.ts: writes mark the TCEs that they use */
const CHANGES = 2n;
/** its fault codes: DMA of the PE is stopped */
const PE_STOPPED = 2;
/** OUTCOME_NO_READ, NO_WRITE of assembly/layout.ts */
const PERMISSION_OUTCOMES = new Set([3, 4]);

type Halves = readonly [TceTable | null, TceTable | null];
/** What a requester's RTT entry leads to. */
type Route = { pe: number; halves: Halves };
const NO_HALVES: Halves = [null, null];

const swapped = (value: bigint) => {
	const bytes = new DataView(new ArrayBuffer(8));
	bytes.setBigUint64(0, value);
	return bytes.getBigUint64(0, true);
};

/**
 * PAPR machines' bridges (IODA3): a PE for each requester, with two TCE tables chosen by address bit 59. Windows of one
 * half share a table, whichever spaces they are of, in the pages of the smallest; a space without windows fills both
 * halves in pages of 4 KiB. No PASIDs, and users' tables are merged by software.
 */
export class PaprIommu implements IommuDriver {
	readonly name: string;
	readonly capabilities: IommuCapabilities;
	private readonly engine: Engine;
	private readonly unit: Unit;
	private readonly pes: TagPool;
	private readonly routes = new Map<number, Route>();
	/** untagged routes that are there at all */
	private readonly led = new Set<number>();
	private readonly tables = new Map<string, TceTable>();
	private rtt = 0n;
	private tvt = 0n;
	private nextTable = 0;

	constructor({ engine, unit, capabilities, name }: UnitSetting) {
		this.engine = engine;
		this.unit = unit;
		this.capabilities = capabilities;
		this.name = name ?? `unit ${unit.index}`;
		this.pes = new TagPool("PE number", HOST + 1, Number(unit.readRegister("PES")) - 1);
		if (capabilities.dirty) unit.writeRegister("CONTROL", unit.readRegister("CONTROL") | CHANGES);
	}

	createTable(content: TableContent): IommuTable {
		return new SpaceTable(this.nextTable++, content, this.capabilities.dirty);
	}

	// its TCE tables went with the routes to it
	destroyTable(_table: IommuTable): void {}

	private refuse(what: string): CoreError {
		return new CoreError("Unsupported", what, { operation: "attach", object: this.name });
	}

	// ---- tables of the unit

	/** @throws EngineError OutOfFrames */
	private makeTables(): void {
		const { engine, unit } = this;
		if (this.rtt === 0n) {
			this.rtt = engine.takeFrames(RTT_ORDER);
			unit.writeRegister("RTT", this.rtt | ENABLED);
		}
		const order = Math.max(0, Math.ceil(Math.log2((Number(unit.readRegister("PES")) * 16) / PAGE_BYTES)));
		if (this.tvt === 0n) {
			this.tvt = engine.takeFrames(order);
			unit.writeRegister("TVT", this.tvt);
			this.putTve(HOST, 0, UNTRANSLATED);
		}
		if (unit.readRegister("PEST") === 0n) unit.writeRegister("PEST", engine.takeFrames(order));
	}

	private putTve(pe: number, half: number, tve: bigint): void {
		this.engine.memory.write64(this.tvt + BigInt(16 * pe + 8 * half), swapped(tve));
	}

	private lead(rid: number, pe: number): void {
		this.engine.memory.writeBytes(this.rtt + BigInt(2 * rid), Uint8Array.of(pe >> 8, pe & 255));
		this.unit.invalidate({ scope: "device", rid });
	}

	// ---- routes

	/** Tables of a target with the windows that they show in. @throws CoreError Unsupported */
	private partsOf(target: Target): ReadonlyArray<{ table: SpaceTable; windows: readonly Window[] }> {
		if (target.kind === "windows") return target.tables.map(({ table, windows }) => ({ table: table as SpaceTable, windows }));
		if (target.kind !== "table") throw this.refuse("no user tables");
		const last = (1n << BigInt(Math.min(this.capabilities.addressBits, HALF_BITS + 1))) - 1n;
		return [{ table: target.table as SpaceTable, windows: target.windows ?? [{ first: 0n, last, pageSize: 4096n }] }];
	}

	/** The TCE table of one half, shared by requesters that see the same there; null where nothing shows. @throws CoreError, EngineError */
	private tableFor(parts: ReturnType<PaprIommu["partsOf"]>, half: number): TceTable | null {
		const base = BigInt(half) << BigInt(HALF_BITS);
		const end = base + (1n << BigInt(HALF_BITS)) - 1n;
		const spaces = new Set<SpaceTable>();
		let top = 0n;
		let page = 0n;
		for (const { table, windows } of parts) {
			for (const { first, last, pageSize } of windows) {
				if (last >> BigInt(HALF_BITS + 1) !== 0n) throw this.refuse(`a window ends beyond ${HALF_BITS + 1} address bits`);
				if (first > end || last < base) continue;
				spaces.add(table);
				const inside = (last < end ? last : end) - base;
				if (inside > top) top = inside;
				if (page === 0n || pageSize < page) page = pageSize;
			}
		}
		if (spaces.size === 0) return null;
		const bits = top.toString(2).length;
		const members = [...spaces].sort((a, b) => a.id - b.id);
		const key = `${half}:${bits}:${page}:${members.map(({ id }) => id)}`;
		let found = this.tables.get(key);
		if (found === undefined) {
			const moved = (table: TceTable) => {
				for (const pe of table.pes) this.putTve(pe, half, table.tve);
				// context entries hold what TVEs said
				this.unit.invalidate({ scope: "global" });
			};
			const changed = ({ pes }: TceTable, iova: bigint, size: bigint) => {
				for (const pe of pes) this.dropPages(pe, iova, size);
			};
			found = new TceTable(this.engine, half, bits, tcePage(page), members, this.capabilities.dirty, moved, changed);
			this.tables.set(key, found);
		}
		found.uses++;
		return found;
	}

	private release(halves: Halves): void {
		for (const half of halves) {
			if (half === null) continue;
			half.uses--;
			if (half.uses > 0) continue;
			for (const [key, table] of this.tables) if (table === half) this.tables.delete(key);
			half.dispose();
		}
	}

	private halvesOf(target: Target): Halves {
		const parts = this.partsOf(target);
		const lower = this.tableFor(parts, 0);
		try {
			return [lower, this.tableFor(parts, 1)];
		} catch (error) {
			this.release([lower, null]);
			throw error;
		}
	}

	/** The next route of a requester; a PE of its own where it has tables. @throws CoreError, EngineError */
	private plan(rid: number, { untagged, pasids, pasidTable }: RequesterState): Route {
		if (pasids.size > 0 || pasidTable !== undefined) throw this.refuse("no PASIDs");
		this.makeTables();
		if (untagged === undefined || untagged.kind === "host") return { pe: untagged === undefined ? NOBODY : HOST, halves: NO_HALVES };
		const halves = this.halvesOf(untagged);
		const old = this.routes.get(rid)?.pe ?? NOBODY;
		try {
			return { pe: old > HOST ? old : this.pes.take(), halves };
		} catch (error) {
			this.release(halves);
			throw error;
		}
	}

	configure(rid: number, state: RequesterState): void {
		let next: Route;
		try {
			next = this.plan(rid, state);
		} catch (error) {
			throw refused(error, "attach", `${this.name}, rid 0x${rid.toString(16)}`);
		}
		const old = this.routes.get(rid) ?? { pe: NOBODY, halves: NO_HALVES };
		// nobody's while the words change
		this.lead(rid, NOBODY);
		for (const half of old.halves) half?.pes.delete(old.pe);
		if (next.pe > HOST) {
			next.halves.forEach((half, i) => {
				half?.pes.add(next.pe);
				this.putTve(next.pe, i, half?.tve ?? 0n);
			});
		}
		if (old.pe > HOST) this.unit.invalidate({ scope: "domain", domain: old.pe, caches: ["iotlb"] });
		this.lead(rid, next.pe);
		this.routes.set(rid, next);
		if (state.untagged === undefined) this.led.delete(rid);
		else this.led.add(rid);
		if (old.pe > HOST && old.pe !== next.pe) this.pes.give(old.pe);
		this.release(old.halves);
	}

	// ---- caches

	private dropPages(pe: number, iova: bigint, size: bigint): void {
		const last = iova + size - 1n;
		let mask = 0;
		while (iova >> BigInt(12 + mask) !== last >> BigInt(12 + mask)) mask++;
		if (mask >= 52) this.unit.invalidate({ scope: "domain", domain: pe, caches: ["iotlb"] });
		else this.unit.invalidate({ scope: "page", domain: pe, address: iova, mask });
	}

	invalidate(rid: number, _pasid: number | null | "all", caches: CacheSelection, range?: AddressRange): void {
		const pe = this.routes.get(rid)?.pe;
		if (pe === undefined || !caches.iotlb) return;
		if (range === undefined) this.unit.invalidate({ scope: "domain", domain: pe, caches: ["iotlb"] });
		else this.dropPages(pe, range.first, range.last - range.first + 1n);
	}

	translate(rid: number, pasid: number | null, address: bigint, access: "read" | "write"): DmaAnswer {
		const answer = this.unit.translate(rid, address, { access, ...(pasid === null ? {} : { pasid }) });
		// what the caller asks about is reported nowhere
		while (this.unit.takeFault() !== null) {}
		if (answer.status === "translated") return { ok: true, physical: answer.pa, pageBytes: answer.pageBytes };
		const code = answer.fault;
		if (pasid !== null) return { ok: false, where: "pasid", code };
		if (!this.led.has(rid) || code === PE_STOPPED) return { ok: false, where: "requester", code };
		return { ok: false, where: PERMISSION_OUTCOMES.has(answer.outcome) ? "permission" : "stage1", address, code };
	}
}
