import type { AddressRange, CacheSelection, RequesterState, TableAttributes, Target, UserTable } from "../core/index.ts";
import { ARCHITECTURES, type PageTable } from "../engine/index.ts";
import { EngineIommu, FEE, tableOf, type UnitSetting } from "./engine-iommu.ts";
import type { EngineTable, PartRole } from "./engine-table.ts";
import { TagPool } from "./tags.ts";
import { vtdUserCalls } from "./vtd-user.ts";

/** DID of pass-through; 0 is left alone (6.2.2.1) */
const HOST_DOMAIN = 65535;
/** RTADDR_REG.TTM 01b: scalable mode (11.4.5) */
const SCALABLE = 1n << 10n;

/** ECAP_REG.DT and PRS (11.4.3); address field of tables; DTE and PRE (9.4) */
const DT = 4n;
const PRS = 1n << 29n;
const TABLE = ~0xfffn & ((1n << 64n) - 1n);
const DTE = 4n;
const PRE = 16n;

/** Scalable mode, and page requests. */
export const vtdRegisters = { RTADDR: SCALABLE, ECAP: ARCHITECTURES.vtd.defaults.ECAP | PRS };

/**
 * Intel VT-d: second-stage tables for every space, by RID and by PASID; users' tables nested over them. In legacy mode
 * (replay of recorded guests) routes by RID alone.
 */
export class VtdIommu extends EngineIommu {
	readonly userCalls = vtdUserCalls(this.name, this.unit, (user) => {
		if (!this.isRouted(user)) return;
		this.dropUser(user);
		// Linux sends the devices their invalidations with it (cache_tag_flush_range)
		this.dropInDevices(user);
	});
	private readonly domains = new TagPool("domain id", 1, HOST_DOMAIN - 1);
	private readonly scalable: boolean;

	constructor(setting: UnitSetting) {
		super(setting);
		this.scalable = (setting.unit.readRegister("RTADDR") & (3n << 10n)) === SCALABLE;
	}

	protected takeTag({ domain }: TableAttributes): number {
		return this.domains.take(domain);
	}

	protected giveTag(tag: number): void {
		this.domains.give(tag);
	}

	protected takeUserTag(): number {
		return this.domains.take();
	}

	protected giveUserTag(tag: number): void {
		this.domains.give(tag);
	}

	protected makePages(_role: PartRole, { levels }: TableAttributes): PageTable {
		const bits = this.capabilities.addressBits;
		const wanted = levels ?? Math.min(5, Math.max(3, Math.ceil((bits - 12) / 9)));
		const inputBits = levels === undefined && bits < 12 + 9 * wanted ? { inputBits: bits } : {};
		return this.engine.createTable({ format: "vtd-second", levels: wanted, ...inputBits, accessedDirty: this.scalable && this.capabilities.dirty });
	}

	private set(rid: number, pasid: number | null, target: Target | undefined): void {
		const tagged = pasid === null ? {} : { pasid };
		if (target === undefined) this.unit.setRoute(rid, { ...tagged, type: "blocked" });
		else if (target.kind === "host") this.unit.setRoute(rid, { ...tagged, type: "bypass", domain: HOST_DOMAIN });
		else if (target.kind === "user") {
			const { user, parent } = target;
			const domain = this.users.of(user);
			const levels = user.width > 48 ? 5 : 4;
			this.unit.setRoute(rid, { ...tagged, type: "nested", domain, first: { format: "vtd-first", root: user.root, levels }, second: (parent as EngineTable).part("second") });
		} else {
			const table = tableOf(target, this.name);
			this.unit.setRoute(rid, { ...tagged, type: "second-stage", domain: table.id, table: table.part("second") });
		}
	}

	protected write(rid: number, old: RequesterState, next: RequesterState): void {
		for (const pasid of old.pasids.keys()) if (!next.pasids.has(pasid)) this.set(rid, pasid, undefined);
		// what did not change is left alone
		if (old.untagged !== next.untagged) this.set(rid, null, next.untagged);
		for (const [pasid, target] of next.pasids) this.set(rid, pasid, target);
		if (this.usesAts(old) || this.usesAts(next)) this.allowAts(rid, (this.usesAts(next) ? DTE : 0n) | (this.usesPri(next) ? PRE : 0n));
	}

	protected override get interrupts() {
		return FEE;
	}

	/** ATS in scalable mode, with ECAP_REG.DT. */
	protected override get hasAts(): boolean {
		return this.scalable && (this.unit.readRegister("ECAP") & DT) !== 0n;
	}

	protected override get hasPri(): boolean {
		return this.hasAts && (this.unit.readRegister("ECAP") & PRS) !== 0n;
	}

	/** DTE and PRE of the context entry (9.2, 9.4), which the requester's routes have made. */
	private allowAts(rid: number, bits: bigint): void {
		const { memory } = this.engine;
		const root = memory.read64((this.unit.readRegister("RTADDR") & TABLE) + BigInt((rid >> 8) * 16 + (rid & 0x80 ? 8 : 0)));
		if ((root & 1n) === 0n) return;
		const at = (root & TABLE) + BigInt((rid & 0x7f) * 32);
		const word = memory.read64(at);
		if ((word & 1n) !== 0n) memory.write64(at, (word & ~(DTE | PRE)) | bits);
	}

	protected dropUser(user: UserTable): void {
		this.unit.invalidate({ scope: "domain", domain: this.users.of(user), caches: ["iotlb"] });
	}

	protected dropTable(table: EngineTable, iova: bigint, size: bigint): void {
		this.dropPages(table.id, iova, size);
		// nested answers went through it at addresses that are not known here
		for (const [, { untagged, pasids }] of this.nestedStates) {
			for (const target of [untagged, ...pasids.values()]) {
				if (target?.kind !== "user" || target.parent !== table) continue;
				this.dropUser(target.user);
			}
		}
	}

	protected dropRoute(rid: number, pasid: number | null | "all", caches: CacheSelection, _range?: AddressRange): void {
		const { untagged, pasids } = this.stateOf(rid);
		const targets = pasid === "all" ? [untagged, ...pasids.values()] : [pasid === null ? untagged : pasids.get(pasid)];
		for (const target of targets) {
			const domain = target?.kind === "user" ? this.users.of(target.user) : target?.kind === "table" ? (target.table as EngineTable).id : undefined;
			if (domain !== undefined && caches.iotlb) this.unit.invalidate({ scope: "domain", domain, caches: ["iotlb"] });
		}
	}
}
