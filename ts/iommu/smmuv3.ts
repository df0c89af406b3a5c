import type { RequesterState, TableAttributes, Target, UserTable } from "../core/index.ts";
import { ARCHITECTURES, type PageTable } from "../engine/index.ts";
import type { UnitSetting } from "./engine-iommu.ts";
import type { EngineTable, PartRole } from "./engine-table.ts";
import type { RouteFrames } from "./route-frames.ts";
import { TagPool } from "./tags.ts";
import { WordsIommu } from "./words-iommu.ts";

/** SMMU_IDR0.ATS and PRI, SMMU_CR0.ATSCHK and PRIQEN (6.3.1, 6.3.9): translated transactions are checked, page requests taken */
const ATS = 1n << 10n;
const PRI = 1n << 16n;
const ATSCHK = 1n << 4n;
const PRIQEN = 1n << 1n;

export const smmuv3Registers = { IDR0: ARCHITECTURES.smmuv3.defaults.IDR0 | ATS | PRI, CR0: ARCHITECTURES.smmuv3.defaults.CR0 | ATSCHK | PRIQEN };

/** STRTAB_BASE_CFG: two levels, SPLIT 8, 16 bits of StreamID (IHI 0070 6.3.25) */
const STREAMS = (1n << 16n) | (8n << 6n) | 16n;
/** L1STD.Span of 256 entries (5.1) */
const SPAN = 9n;

// ---- STE (5.2)
const VALID = 1n;
const ABORT = 0n << 1n;
const BYPASS = 4n << 1n;
const STAGE_1 = 1n << 1n;
const STAGE_2 = 2n << 1n;
/** S1Fmt: two levels with leaves of 64 KiB; S1CDMax of 20 bits */
const WIDE_CONTEXTS = (2n << 4n) | (20n << 59n);
/** S1DSS: requests without SubstreamID terminate, bypass stage 1, or use CD 0 */
const DSS_TERMINATE = 0n;
const DSS_BYPASS = 1n;
const DSS_CD0 = 2n;
/** SHCFG: as the request says */
const SHARED = 1n << 44n;
/** EATS: full ATS */
const EATS = 1n << 28n;
/** CDs of one leaf */
const LEAF = 1024;

/** Arm SMMUv3: a stage 2 for streams without SubstreamIDs; CDs with stage 1 for those that have; users' stage 1 over the parent's stage 2. */
export class Smmuv3Iommu extends WordsIommu {
	/** it aborts while the words change (3.21.3.1) */
	protected readonly closed = VALID | ABORT;
	protected readonly atsBit = [1, EATS] as const;
	private readonly vmids = new TagPool("VMID", 1, 0xffff);
	private readonly asids = new TagPool("ASID", 1, 0xffff);
	private readonly streams = new Map<number, bigint>();
	private readonly root: bigint;

	constructor(setting: UnitSetting) {
		super(setting);
		this.root = this.engine.takeFrames(0);
		this.unit.writeRegister("STRTAB_BASE", this.root);
		this.unit.writeRegister("STRTAB_BASE_CFG", STREAMS);
	}

	protected override get hasAts(): boolean {
		return (this.unit.readRegister("IDR0") & ATS) !== 0n;
	}

	protected takeTag({ domain }: TableAttributes): number {
		return this.vmids.take(domain);
	}
	protected giveTag(tag: number): void {
		this.vmids.give(tag);
	}
	protected takeUserTag(): number {
		return this.asids.take();
	}
	protected giveUserTag(tag: number): void {
		this.asids.give(tag);
	}

	protected makePages(role: PartRole, _attributes: TableAttributes): PageTable {
		const bits = Math.min(48, Math.max(this.capabilities.addressBits, 32));
		const accessedDirty = this.capabilities.dirty;
		// a stage 2 whose first level would have at most 16 entries starts one level down, with its tables side by side (D8.2.2)
		if (role === "second") return this.engine.createTable({ format: "vmsav8-second-4k", levels: bits > 43 ? 4 : 3, inputBits: bits, accessedDirty });
		return this.engine.createTable({ format: "vmsav8-first-4k", levels: bits > 39 ? 4 : 3, inputBits: bits, accessedDirty });
	}

	// ---- words

	/** @throws EngineError OutOfFrames */
	protected entryOf(rid: number): bigint {
		const bus = rid >> 8;
		let table = this.streams.get(bus);
		if (table === undefined) {
			table = this.engine.takeFrames(2);
			this.streams.set(bus, table);
			this.engine.memory.write64(this.root + BigInt(bus * 8), table | SPAN);
		}
		return table + BigInt((rid & 255) * 64);
	}

	/** CD of TTB0 alone: EPD1, IPS 48 bits, AA64, R, A, ASET; HA and HD where the table tracks (5.4). */
	private contextOf(root: bigint, width: number, asid: number, tracks: boolean): bigint[] {
		const first = BigInt(64 - width) | (1n << 30n) | (1n << 31n) | (5n << 32n) | (1n << 41n) | (tracks ? 3n << 42n : 0n) | (7n << 45n) | (BigInt(asid) << 48n);
		return [first, root, 0n, 0xffn, 0n, 0n, 0n, 0n];
	}

	/** The CD of a route; null where stage 1 is not used. @throws CoreError Unsupported */
	private stage1(target: Target, base: EngineTable | null): bigint[] | null {
		if (target.kind === "host") {
			if (base !== null) throw this.refuse("the host's own requests have no second stage");
			return null;
		}
		if (target.kind === "user") return this.contextOf(target.user.root, target.user.width, this.users.of(target.user), false);
		const table = this.plainTable(target, base);
		if (table === null) return null;
		const pages = table.part("first");
		return this.contextOf(pages.root, Number(pages.inputLast.toString(2).length), table.id, this.capabilities.dirty);
	}

	/** Words 2 and 3 of an STE: S2VMID, S2T0SZ, S2SL0, S2PS 48 bits, S2AA64, S2R; S2HA and S2HD; S2TTB. */
	private stage2(table: EngineTable, vmid: number): [bigint, bigint] {
		const pages = table.part("second");
		const width = pages.inputLast.toString(2).length;
		const level = BigInt(pages.config.levels - 2);
		const track = this.capabilities.dirty ? 3n << 55n : 0n;
		return [BigInt(vmid) | (BigInt(64 - width) << 32n) | (level << 38n) | (5n << 48n) | (1n << 51n) | track | (1n << 58n), pages.root];
	}

	private putContext(frames: RouteFrames, root: bigint, leaves: Map<number, bigint>, pasid: number, words: bigint[]): void {
		const index = Math.floor(pasid / LEAF);
		let leaf = leaves.get(index);
		if (leaf === undefined) {
			const block = frames.take(4);
			leaf = block.physical;
			leaves.set(index, leaf);
			// L1CD: V, L2Ptr (5.3)
			frames.write(root + BigInt(index * 8), [block.seen | VALID]);
		}
		frames.write(leaf + BigInt((pasid % LEAF) * 64), words);
	}

	protected wordsOf(_rid: number, { untagged, pasids, pasidTable }: RequesterState, base: EngineTable | null, frames: RouteFrames): bigint[] {
		if (pasidTable !== undefined) {
			const { address, entries, parent } = pasidTable;
			const max = BigInt(Math.ceil(Math.log2(entries)));
			const table = parent as EngineTable;
			return [VALID | BYPASS | STAGE_1 | STAGE_2 | address | (max << 59n), DSS_BYPASS | SHARED, ...this.stage2(table, table.id)];
		}
		if (pasids.size === 0) {
			if (untagged === undefined) return [VALID | ABORT, 0n, 0n, 0n];
			if (untagged.kind === "host") return [VALID | BYPASS, SHARED, 0n, 0n];
			if (untagged.kind === "table") {
				const table = untagged.table as EngineTable;
				return [VALID | BYPASS | STAGE_2, SHARED, ...this.stage2(table, table.id)];
			}
		}
		const stages = (base === null ? STAGE_1 : STAGE_1 | STAGE_2) | BYPASS;
		const second: [bigint, bigint] = base === null ? [0n, 0n] : this.stage2(base, base.id);
		const own = untagged === undefined ? null : this.stage1(untagged, base);
		const dss = untagged === undefined ? DSS_TERMINATE : own === null ? DSS_BYPASS : DSS_CD0;
		if (pasids.size === 0) {
			const block = frames.take();
			if (own !== null) frames.write(block.physical, own);
			return [VALID | stages | block.seen, dss | SHARED, ...second];
		}
		const root = frames.take(1);
		const leaves = new Map<number, bigint>();
		for (const [pasid, target] of pasids) {
			if (pasid === 0 && own !== null) throw this.refuse("SubstreamID 0 stands for requests without one");
			const words = this.stage1(target, base);
			if (words === null) throw this.refuse("a SubstreamID has a stage 1 of its own");
			this.putContext(frames, root.physical, leaves, pasid, words);
		}
		if (own !== null) this.putContext(frames, root.physical, leaves, 0, own);
		return [VALID | stages | root.seen | WIDE_CONTEXTS, dss | SHARED, ...second];
	}

	// ---- caches

	protected nestedTag(rid: number): number | undefined {
		return this.baseOf(this.stateOf(rid))?.id;
	}

	protected dropTable(table: EngineTable, iova: bigint, size: bigint): void {
		// stage 1 alone is filed under VMID 0 and its ASID
		this.unit.invalidate({ scope: "pasid", domain: 0, pasid: table.id, caches: ["iotlb"] });
		this.dropPages(table.id, iova, size);
	}

	protected dropUser(_user: UserTable): void {
		this.unit.invalidate({ scope: "global", caches: ["iotlb"] });
	}
}
