import type { RequesterState, TableAttributes, Target, UserTable } from "../core/index.ts";
import { ARCHITECTURES, type PageTable } from "../engine/index.ts";
import type { UnitSetting } from "./engine-iommu.ts";
import type { EngineTable, PartRole } from "./engine-table.ts";
import type { RouteFrames } from "./route-frames.ts";
import { TagPool } from "./tags.ts";
import { WordsIommu } from "./words-iommu.ts";

/** capabilities.ATS (6.3) */
const ATS = 1n << 25n;

export const riscvRegisters = { CAPABILITIES: ARCHITECTURES.riscv.defaults.CAPABILITIES | ATS };

/** ddtp.iommu_mode 3LVL (RISC-V IOMMU 5.5) */
const THREE_LEVELS = 4n;

// ---- device context (3.1.3), tc
const VALID = 1n;
const EN_ATS = 2n;
const EN_PRI = 4n;
const PDTV = 1n << 5n;
const GADE = 1n << 7n;
const SADE = 1n << 8n;
const DPE = 1n << 9n;
/** pdtp.MODE PD8 and PD20 (3.1.3.5); satp and hgatp modes follow the levels */
const PD8 = 1n;
const PD20 = 3n;

const mode = (number: bigint, address: bigint) => (number << 60n) | (address >> 12n);
/** iosatp of a user's table: Sv39, Sv48 or Sv57 by its width */
const satpOf = ({ root, width }: UserTable) => mode(width <= 39 ? 8n : width <= 48 ? 9n : 10n, root);
/** process-context ta: V, PSCID 31:12 (3.1.4) */
const processTa = (pscid: number) => VALID | (BigInt(pscid) << 12n);

/**
 * RISC-V IOMMU: a second stage (Sv39x4 to Sv57x4) for a device that has no PASIDs; process contexts with first stages where
 * it has; users' first stages over the parent's second stage.
 */
export class RiscvIommu extends WordsIommu {
	protected readonly closed = 0n;
	protected readonly atsBit = [0, EN_ATS] as const;
	protected override readonly priBit = [0, EN_PRI] as const;
	private readonly spaces = new TagPool("GSCID", 1, 0xffff);
	private readonly processes = new TagPool("PSCID", 1, 0xfffff);
	private readonly directory: { root: bigint; tables: Map<number, bigint> };

	constructor(setting: UnitSetting) {
		super(setting);
		const root = this.engine.takeFrames(0);
		this.directory = { root, tables: new Map() };
		this.unit.writeRegister("DDTP", (root >> 2n) | THREE_LEVELS);
	}

	protected override get hasAts(): boolean {
		return (this.unit.readRegister("CAPABILITIES") & ATS) !== 0n;
	}

	/** Pages of a process without a first stage are told to devices as those of every process (3.6): where one is, devices ask for nothing. */
	protected override usesAts(state: RequesterState): boolean {
		if (!super.usesAts(state)) return false;
		const base = this.baseOf(state);
		return ![...state.pasids.values()].some((target) => target.kind === "host" || (target.kind === "table" && target.table === base));
	}

	protected takeTag({ domain }: TableAttributes): number {
		return this.spaces.take(domain);
	}
	protected giveTag(tag: number): void {
		this.spaces.give(tag);
	}
	protected takeUserTag(): number {
		return this.processes.take();
	}
	protected giveUserTag(tag: number): void {
		this.processes.give(tag);
	}

	protected makePages(role: PartRole, attributes: TableAttributes): PageTable {
		const bits = this.capabilities.addressBits;
		const accessedDirty = this.capabilities.dirty;
		// 2 more bits at the root of a second stage; a first stage has half of its addresses below the sign
		if (role === "second") {
			const levels = attributes.levels ?? (bits <= 41 ? 3 : bits <= 50 ? 4 : 5);
			const most = 14 + 9 * levels;
			return this.engine.createTable({ format: "riscv-sv-x4", levels, ...(bits < most ? { inputBits: bits } : {}), accessedDirty });
		}
		return this.engine.createTable({ format: "riscv-sv", levels: bits <= 38 ? 3 : bits <= 47 ? 4 : 5, accessedDirty });
	}

	// ---- directories

	/** Device context of a requester: DDI 6, 9 and 9 bits, extended format (3.1.1). @throws EngineError */
	protected entryOf(rid: number): bigint {
		const { root, tables } = this.directory;
		const next = (table: bigint, index: number, key: number) => {
			let found = tables.get(key);
			if (found === undefined) {
				found = this.engine.takeFrames(0);
				tables.set(key, found);
				this.engine.memory.write64(table + BigInt(index * 8), (found >> 2n) | VALID);
			}
			return found;
		};
		const middle = next(root, rid >> 15, -1 - (rid >> 15));
		const leaf = next(middle, (rid >> 6) & 511, rid >> 6);
		return leaf + BigInt((rid & 63) * 64);
	}

	/** Put a process context into a directory of 20 bits (3.1.3.5, 3.1.4). */
	private putProcess(frames: RouteFrames, root: bigint, tables: Map<number, { physical: bigint; seen: bigint }>, pasid: number, words: bigint[]): void {
		let table = root;
		for (const [key, index] of [
			[-1 - (pasid >> 17), pasid >> 17],
			[pasid >> 8, (pasid >> 8) & 511],
		]) {
			let found = tables.get(key);
			if (found === undefined) {
				found = frames.take();
				tables.set(key, found);
				frames.write(table + BigInt(index * 8), [(found.seen >> 2n) | VALID]);
			}
			table = found.physical;
		}
		frames.write(table + BigInt((pasid & 255) * 16), words);
	}

	// ---- routes

	/** First stage of one route as ta and fsc words; null leaves it out. */
	private firstOf(target: Target | undefined, base: EngineTable | null): { pscid: number; fsc: bigint } | null {
		if (target === undefined) return null;
		if (target.kind === "user") return { pscid: this.users.of(target.user), fsc: satpOf(target.user) };
		if (target.kind === "host") {
			if (base !== null) throw this.refuse("the host's own requests have no second stage");
			return { pscid: 0, fsc: 0n };
		}
		const table = this.plainTable(target, base);
		if (table === null) return { pscid: 0, fsc: 0n };
		const pages = table.part("first");
		return { pscid: table.id, fsc: mode(BigInt(pages.config.levels) + 5n, pages.root) };
	}

	/** tc, iohgatp, ta, fsc and the MSI words of a device context. */
	protected wordsOf(_rid: number, state: RequesterState, base: EngineTable | null, frames: RouteFrames): bigint[] {
		const { untagged, pasids, pasidTable } = state;
		// with SADE every page of a first-stage table counts as written in the second stage: guests' tables are left to them
		const update = this.capabilities.dirty ? GADE | (base === null && pasidTable === undefined ? SADE : 0n) : 0n;
		const rest = [0n, 0n, 0n, 0n];
		const second = (table: EngineTable) => {
			const pages = table.part("second");
			return mode(BigInt(pages.config.levels) + 5n, pages.root) | (BigInt(table.id) << 44n);
		};
		if (pasidTable !== undefined) {
			if (pasidTable.entries > 256) throw this.refuse("a process directory of the guest has 256 entries at most");
			return [VALID | PDTV | update, second(pasidTable.parent as EngineTable), 0n, mode(PD8, pasidTable.address), ...rest];
		}
		if (pasids.size === 0) {
			if (untagged === undefined) return [0n, 0n, 0n, 0n, ...rest];
			if (untagged.kind === "table") return [VALID | update, second(untagged.table as EngineTable), 0n, 0n, ...rest];
			const first = this.firstOf(untagged, base);
			return [VALID | update, base === null ? 0n : second(base), BigInt(first?.pscid ?? 0) << 12n, first?.fsc ?? 0n, ...rest];
		}
		// requests without PASID are process 0, unless they have no first stage
		const root = frames.take();
		const tables = new Map<number, { physical: bigint; seen: bigint }>();
		for (const [pasid, target] of pasids) {
			if (pasid === 0 && untagged !== undefined) throw this.refuse("PASID 0 stands for requests without one");
			const first = this.firstOf(target, base);
			if (first !== null) this.putProcess(frames, root.physical, tables, pasid, [processTa(first.pscid), first.fsc]);
		}
		const own = this.firstOf(untagged, base);
		const bare = own !== null && own.fsc === 0n;
		if (own !== null && !bare) this.putProcess(frames, root.physical, tables, 0, [processTa(own.pscid), own.fsc]);
		return [VALID | PDTV | (bare ? 0n : DPE) | update, base === null ? 0n : second(base), 0n, mode(PD20, root.seen), ...rest];
	}

	// ---- caches

	protected nestedTag(rid: number): number | undefined {
		return this.baseOf(this.stateOf(rid))?.id;
	}

	protected dropTable(table: EngineTable, iova: bigint, size: bigint): void {
		// first-stage answers of a process are filed under no GSCID and its PSCID
		this.unit.invalidate({ scope: "host", pasid: table.id });
		this.dropPages(table.id, iova, size);
		// what two stages made went through it at addresses that are not known here
		for (const [, state] of this.nestedStates) if (this.baseOf(state) === table) this.unit.invalidate({ scope: "domain", domain: table.id, caches: ["iotlb"] });
	}

	protected dropUser(): void {
		this.unit.invalidate({ scope: "global", caches: ["iotlb"] });
	}
}
