import type { RequesterState, TableAttributes, Target, UserTable } from "../core/index.ts";
import type { PageTable } from "../engine/index.ts";
import { FEE } from "./engine-iommu.ts";
import type { EngineTable, PartRole } from "./engine-table.ts";
import { RouteFrames } from "./route-frames.ts";
import { TagPool } from "./tags.ts";
import { WordsIommu } from "./words-iommu.ts";

/** Control.DevTblSegEn of 8 segments (48882 3.4.3) beside IommuEn, PPRLogEn, PPREn and GTEn */
const SEGMENTED = 1n | (1n << 13n) | (1n << 15n) | (1n << 16n) | (3n << 34n);
/** requesters of one segment: 64 frames of 32-byte entries */
const SEGMENT = 8192;
const SEGMENT_ORDER = 6;

export const amdviRegisters = { CONTROL: SEGMENTED };

// ---- device table entry (2.2.2.1), low word
const VALID = 1n;
const TRANSLATES = 2n;
const HAD = 3n << 7n;
const GIOV = 1n << 54n;
const GV = 1n << 55n;
const RIGHTS = 3n << 61n;
/** GLX: GCR3 tables of three levels; one level */
const THREE_LEVELS = 2n << 56n;
const PPR = 1n << 52n;
/** I (bit 96): the device has a TLB of its own */
const REMOTE_TLB = 1n << 32n;

/**
 * AMD-Vi: a host table (v1) for a requester without PASIDs; guest tables (v2) behind GCR3 tables for those that have; users'
 * v2 tables over the parent's v1 table. Answers of guest tables are filed under the domain and the PASID, so a requester
 * that has some gets a domain of its own.
 */
export class AmdviIommu extends WordsIommu {
	/** V alone blocks */
	protected readonly closed = VALID;
	protected readonly atsBit = [1, REMOTE_TLB] as const;
	protected override readonly priBit = [0, PPR] as const;
	private readonly domains = new TagPool("domain id", 1, 0xffff);
	private readonly owned = new Map<number, number>();
	private readonly segments = new Map<number, bigint>();

	protected override get interrupts() {
		return FEE;
	}

	protected takeTag({ domain }: TableAttributes): number {
		return this.domains.take(domain);
	}
	protected giveTag(tag: number): void {
		this.domains.give(tag);
	}
	// users' tables are told apart by domain and PASID
	protected takeUserTag(): number {
		return 0;
	}
	protected giveUserTag(_tag: number): void {}

	protected makePages(role: PartRole, { levels }: TableAttributes): PageTable {
		const bits = this.capabilities.addressBits;
		const accessedDirty = this.capabilities.dirty;
		if (role === "second") {
			const wanted = levels ?? Math.min(6, Math.max(3, Math.ceil((bits - 12) / 9)));
			return this.engine.createTable({ format: "amd-v1", levels: wanted, ...(levels === undefined && bits < 12 + 9 * wanted ? { inputBits: bits } : {}), accessedDirty });
		}
		// half of the addresses lie below the sign
		return this.engine.createTable({ format: "amd-v2", levels: 5, accessedDirty });
	}

	// ---- words

	/** @throws EngineError OutOfFrames */
	protected entryOf(rid: number): bigint {
		const index = Math.floor(rid / SEGMENT);
		let table = this.segments.get(index);
		if (table === undefined) {
			table = this.engine.takeFrames(SEGMENT_ORDER);
			this.segments.set(index, table);
			this.unit.writeRegister(index === 0 ? "DEVTAB" : `SEGMENT${index}`, table | BigInt(2 ** SEGMENT_ORDER - 1));
		}
		return table + BigInt((rid % SEGMENT) * 32);
	}

	/** GCR3 root in its three places. */
	private spread(root: bigint): [bigint, bigint] {
		return [((root >> 12n) & 7n) << 58n, (((root >> 15n) & 0xffffn) << 16n) | ((root >> 31n) << 43n)];
	}

	private host(table: EngineTable | null): bigint {
		if (table === null) return RIGHTS;
		const pages = table.part("second");
		return pages.root | (BigInt(pages.config.levels) << 9n) | RIGHTS | (this.capabilities.dirty ? HAD : 0n);
	}

	/** Root of a route's guest table, null where none is used. @throws CoreError Unsupported */
	private guest(target: Target, base: EngineTable | null): bigint | null {
		if (target.kind === "host") {
			if (base !== null) throw this.refuse("the host's own requests have no second stage");
			return null;
		}
		if (target.kind === "user") return target.user.root;
		return this.plainTable(target, base)?.part("first").root ?? null;
	}

	/** Guest paging mode of all guest tables of a requester: 0 for 4 levels, 1 for 5. @throws CoreError Unsupported when they differ */
	private modeOf({ untagged, pasids }: RequesterState): bigint {
		const modes = new Set<bigint>();
		for (const target of [untagged, ...pasids.values()]) {
			if (target?.kind === "user") modes.add(target.user.width > 48 ? 1n : 0n);
			else if (target?.kind === "table" && pasids.size > 0 && this.plainTable(target, this.baseOf({ untagged, pasids, ats: false, pri: false })) !== null) modes.add(1n);
		}
		if (modes.size > 1) throw this.refuse("guest tables of a RID have one number of levels");
		for (const mode of modes) return mode;
		return 0n;
	}

	private putRoot(frames: RouteFrames, top: bigint, tables: Map<string, bigint>, pasid: number, root: bigint): void {
		let table = top;
		for (const level of [2, 1]) {
			const key = `${level}:${pasid >> (9 * level)}`;
			let next = tables.get(key);
			if (next === undefined) {
				next = frames.take().physical;
				tables.set(key, next);
				frames.write(table + BigInt(((pasid >> (9 * level)) & 511) * 8), [next | VALID]);
			}
			table = next;
		}
		frames.write(table + BigInt((pasid & 511) * 8), [root | VALID]);
	}

	private domainOf(rid: number): number {
		let domain = this.owned.get(rid);
		if (domain === undefined) {
			domain = this.domains.take();
			this.owned.set(rid, domain);
		}
		return domain;
	}

	protected wordsOf(rid: number, state: RequesterState, base: EngineTable | null, frames: RouteFrames): bigint[] {
		const { untagged, pasids, pasidTable } = state;
		if (pasidTable !== undefined) {
			const { address, entries, parent } = pasidTable;
			if (entries > 512) throw this.refuse("a GCR3 table of the guest has 512 entries at most");
			const host = VALID | TRANSLATES | this.host(parent as EngineTable);
			// its one page: the unit reads GCR3 tables at system addresses, and no PASIDs where there is none
			const found = (parent as EngineTable).part("second").lookUp(address);
			if (found === null || !found.read) return [host, BigInt(this.domainOf(rid)), 0n, 0n];
			const [low, high] = this.spread(found.pa);
			return [host | GV | low, BigInt(this.domainOf(rid)) | high, 0n, 0n];
		}
		if (pasids.size === 0) {
			if (untagged === undefined) return [VALID, 0n, 0n, 0n];
			if (untagged.kind === "host") return [VALID | TRANSLATES | RIGHTS, 0n, 0n, 0n];
			if (untagged.kind === "table") {
				const table = untagged.table as EngineTable;
				return [VALID | TRANSLATES | this.host(table), BigInt(table.id), 0n, 0n];
			}
		}
		const top = frames.take().physical;
		const tables = new Map<string, bigint>();
		const mode = this.modeOf(state);
		const own = untagged === undefined ? null : this.guest(untagged, base);
		for (const [pasid, target] of pasids) {
			const root = this.guest(target, base);
			if (root === null) throw this.refuse("a PASID has a guest table of its own");
			if (pasid === 0 && (own !== null || untagged === undefined)) throw this.refuse("PASID 0 stands for requests without one");
			this.putRoot(frames, top, tables, pasid, root);
		}
		if (own !== null) this.putRoot(frames, top, tables, 0, own);
		// requests without PASID use entry 0, which is absent where they are blocked
		const giov = untagged === undefined || own !== null ? GIOV : 0n;
		const [low, high] = this.spread(top);
		return [VALID | TRANSLATES | this.host(base) | GV | giov | THREE_LEVELS | low, BigInt(this.domainOf(rid)) | high, mode << 54n, 0n];
	}

	/** GCR3 tables are at system addresses. */
	protected override framesOf(): RouteFrames {
		return new RouteFrames(this.engine, null);
	}

	protected override write(rid: number, old: RequesterState, next: RequesterState): void {
		super.write(rid, old, next);
		const domain = this.owned.get(rid);
		if (domain === undefined) return;
		this.unit.invalidate({ scope: "domain", domain, caches: ["iotlb"] });
		if (next.pasids.size > 0 || next.pasidTable !== undefined || next.untagged?.kind === "user") return;
		this.owned.delete(rid);
		this.domains.give(domain);
	}

	// ---- caches

	protected nestedTag(rid: number): number | undefined {
		return this.owned.get(rid);
	}

	protected dropTable(table: EngineTable, iova: bigint, size: bigint): void {
		this.dropPages(table.id, iova, size);
		for (const [rid, domain] of this.owned) {
			const { untagged, pasids, pasidTable } = this.stateOf(rid);
			const uses = [untagged, ...pasids.values()].some((target) => (target?.kind === "table" ? target.table === table : target?.kind === "user" && target.parent === table));
			if (uses || pasidTable?.parent === table) this.unit.invalidate({ scope: "domain", domain, caches: ["iotlb"] });
		}
	}

	protected dropUser(_user: UserTable): void {}
}
