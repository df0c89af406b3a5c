import { type AddressRange, type CacheSelection, CoreError, type DmaAnswer, type IommuCapabilities, type IommuDriver, type IommuTable, type RequesterState, type TableAttributes, type TableContent, type Target, type UserTable } from "../core/index.ts";
import type { Engine, PageTable, TranslateOptions, Translation, Unit } from "../engine/index.ts";
import { UnitPageRequests } from "./page-requests.ts";
import { JoinedTable } from "./joined-table.ts";
import { EngineTable, type PartRole, refused } from "./engine-table.ts";
import { ShownRange } from "./route-frames.ts";

/** x86's interrupts: VT-d 3.14, 48882 2.1.4.1 */
export const FEE = [{ first: 0xfee0_0000n, last: 0xfeef_ffffn }] as const;

/** A device-TLB for each device that has ATS. */
export const DEVICE_TLB = { sets: 16, ways: 4, devices: 64 };

const NO_ROUTES: RequesterState = { pasids: new Map(), ats: false, pri: false };

/** What a driver is made with. */
export interface UnitSetting {
	engine: Engine;
	unit: Unit;
	capabilities: IommuCapabilities;
	name?: string;
}

/**
 * A unit of the engine behind core's interface: tables in the unit's formats, and device-table words in simulated memory
 * that the hardware walks. A kind of unit says which formats, which tags and which words.
 */
export abstract class EngineIommu implements IommuDriver {
	readonly name: string;
	readonly capabilities: IommuCapabilities;
	protected readonly engine: Engine;
	protected readonly unit: Unit;
	readonly pageRequests: UnitPageRequests;
	/** lg2 bytes of the pages that it has */
	private readonly leaves: readonly number[];
	private readonly states = new Map<number, RequesterState>();
	private readonly nested = new Map<number, RequesterState>();
	/** tables of requesters that several spaces share by address */
	private readonly joined = new Map<number, JoinedTable>();
	/** of those with a TLB of their own */
	private readonly ats = new Map<number, RequesterState>();
	/** a nested route has a tag of its own, since its answers are filed under the user's addresses */
	protected readonly users = new UserTags(
		() => this.takeUserTag(),
		(tag) => this.giveUserTag(tag),
	);

	constructor({ engine, unit, capabilities, name }: UnitSetting) {
		this.engine = engine;
		this.unit = unit;
		this.capabilities = capabilities;
		this.name = name ?? `unit ${unit.index}`;
		this.leaves = [...capabilities.pageSizes.toString(2)].reverse().flatMap((digit, lg2) => (digit === "1" ? [lg2] : []));
		this.pageRequests = new UnitPageRequests(unit, (rid) => this.usesPri(this.stateOf(rid)));
	}

	/** An empty page table for a role of a space's table. @throws EngineError, CoreError */
	protected abstract makePages(role: PartRole, attributes: TableAttributes): PageTable;
	/** A tag for a space's table. @throws CoreError */
	protected abstract takeTag(attributes: TableAttributes): number;
	protected abstract giveTag(tag: number): void;
	/** A tag for a user's table. @throws CoreError */
	protected abstract takeUserTag(): number;
	protected abstract giveUserTag(tag: number): void;
	/** Write the words of all routes of a requester, from `old` to `next`. @throws EngineError, CoreError; words may be half written then */
	protected abstract write(rid: number, old: RequesterState, next: RequesterState): void;
	/** Drop what is cached of a space's table, in every combination. */
	protected abstract dropTable(table: EngineTable, iova: bigint, size: bigint): void;
	/** Drop what is cached of a user's table. */
	protected abstract dropUser(user: UserTable): void;
	/** Drop what is cached of one route, or with "all" of every route of the requester. */
	protected abstract dropRoute(rid: number, pasid: number | null | "all", caches: CacheSelection, range?: AddressRange): void;

	createTable(content: TableContent, attributes: TableAttributes): IommuTable {
		const tag = this.takeTag(attributes);
		const make = (role: PartRole) => this.makePages(role, attributes);
		const table = new EngineTable(tag, content, make, (changed, iova, size) => this.dropChanged(changed, iova, size), this.places(), this.leaves, (one) => this.isBase(one));
		try {
			table.part("second");
		} catch (error) {
			this.giveTag(tag);
			throw error;
		}
		return table;
	}

	/** Addresses of requests without PASID that are interrupts by architecture. */
	protected get interrupts(): readonly AddressRange[] {
		return [];
	}

	/** The unit takes ATS requests. */
	protected get hasAts(): boolean {
		return true;
	}

	/** Whether a requester with these routes uses ATS. */
	protected usesAts({ ats }: RequesterState): boolean {
		return ats && this.hasAts;
	}

	/** The unit takes page requests. */
	protected get hasPri(): boolean {
		return this.hasAts;
	}

	/** Whether a requester with these routes may make page requests. */
	protected usesPri(state: RequesterState): boolean {
		return state.pri && this.usesAts(state) && this.hasPri;
	}

	/** Drop what is cached of a space's table, here and in devices. */
	private dropChanged(table: EngineTable, iova: bigint, size: bigint): void {
		this.dropTable(table, iova, size);
		for (const [rid, state] of this.ats) {
			for (const [pasid, target] of [[null, state.untagged] as const, ...state.pasids]) {
				if (target === undefined) continue;
				if (target.kind === "table" && target.table === table) this.dropDevice(rid, pasid, { first: iova, last: iova + size - 1n });
				// at addresses that are not known here
				else if (target.kind === "user" && target.parent === table) this.dropDevice(rid, pasid);
			}
			if (state.pasidTable?.parent === table) this.dropDevice(rid, "all");
		}
	}

	/** Drop what devices keep of a user's table. */
	protected dropInDevices(user: UserTable): void {
		for (const [rid, state] of this.ats) {
			for (const [pasid, target] of [[null, state.untagged] as const, ...state.pasids]) {
				if (target?.kind === "user" && target.user === user) this.dropDevice(rid, pasid);
			}
		}
	}

	/** ATS Invalidate Request of one route, or of all; the smallest aligned power of two that covers the range. */
	private dropDevice(rid: number, pasid: number | null | "all", range?: AddressRange): void {
		const whose = pasid === null ? {} : { pasid };
		let mask = 0;
		if (range !== undefined) while (mask < 52 && range.first >> BigInt(12 + mask) !== range.last >> BigInt(12 + mask)) mask++;
		if (range === undefined || mask === 52) this.unit.invalidate({ scope: "device-tlb", rid, ...whose });
		else this.unit.invalidate({ scope: "device-tlb", rid, ...whose, address: range.first, mask });
	}

	/** The reserved range of the unit; without one, the top of its addresses. */
	private places(): ShownRange {
		const { reserved, addressBits } = this.capabilities;
		const [range] = reserved;
		if (range === undefined) return new ShownRange((1n << BigInt(addressBits)) - 0x10_0000n, 256);
		return new ShownRange(range.first, Math.min(4096, Number((range.last - range.first + 1n) / 4096n)));
	}

	destroyTable(table: IommuTable): void {
		const made = table as EngineTable;
		this.dropChanged(made, 0n, 1n << 64n);
		made.dispose();
		this.giveTag(made.id);
	}

	/** A route that this kind of unit cannot express. */
	protected refuse(what: string): CoreError {
		return new CoreError("Unsupported", what, { operation: "attach", object: this.name });
	}

	/** The one table that users' tables of these routes lie over, or null; for units with one second stage for each RID. @throws CoreError Unsupported when there are two */
	protected baseOf({ untagged, pasids, pasidTable }: RequesterState): EngineTable | null {
		const parents = new Set<EngineTable>();
		for (const target of [untagged, ...pasids.values()]) if (target?.kind === "user") parents.add(target.parent as EngineTable);
		if (pasidTable !== undefined) parents.add(pasidTable.parent as EngineTable);
		if (parents.size > 1) throw this.refuse("one second stage serves all requests of a RID");
		for (const parent of parents) {
			if (parent.showsTooMuch) throw this.refuse("a second stage of this format lets guests' walks read what may only be written");
			return parent;
		}
		return null;
	}

	/** The table that a kernel-managed route is given as first stage; null when it is the second stage itself. @throws CoreError Unsupported */
	protected plainTable(target: Target, base: EngineTable | null): EngineTable | null {
		if (target.kind !== "table") throw this.refuse("a RID has one table, not several by address");
		const table = target.table as EngineTable;
		if (base === table) return null;
		if (base !== null) throw this.refuse("a guest's table and another space share no second stage");
		return table;
	}

	/** Routes that the unit was given last. */
	protected stateOf(rid: number): RequesterState {
		return this.states.get(rid) ?? NO_ROUTES;
	}

	/** Guests' tables lie over a space's table. */
	private isBase(table: EngineTable): boolean {
		for (const { untagged, pasids, pasidTable } of this.nested.values()) {
			if (pasidTable?.parent === table) return true;
			for (const target of [untagged, ...pasids.values()]) if (target?.kind === "user" && target.parent === table) return true;
		}
		return false;
	}

	/** Whether some route leads through a user's table. */
	protected isRouted(user: UserTable): boolean {
		for (const state of this.nested.values()) for (const other of usersOf(state)) if (other === user) return true;
		return false;
	}

	/** Requesters with routes over guests' tables: the few that a change of a table has to look at. */
	protected get nestedStates(): Iterable<[number, RequesterState]> {
		return this.nested;
	}

	configure(rid: number, wanted: RequesterState): void {
		const { state, joined } = this.join(wanted);
		try {
			this.lead(rid, state);
		} catch (error) {
			joined?.dispose();
			throw error;
		}
		this.joined.get(rid)?.dispose();
		if (joined === null) this.joined.delete(rid);
		else this.joined.set(rid, joined);
	}

	/** One table for windowed spaces that share a RID: the hardware tells none apart by address. @throws CoreError NoSpace, Exhausted */
	private join(state: RequesterState): { state: RequesterState; joined: JoinedTable | null } {
		const { untagged } = state;
		if (untagged?.kind !== "windows") return { state, joined: null };
		if (untagged.tables.length === 1) return { state: { ...state, untagged: { kind: "table", ...untagged.tables[0] } }, joined: null };
		const joined = new JoinedTable(untagged.tables, (content) => this.createTable(content, {}), (table) => this.destroyTable(table));
		return { state: { ...state, untagged: { kind: "table", table: joined.pages } }, joined };
	}

	private lead(rid: number, state: RequesterState): void {
		const old = this.stateOf(rid);
		const held: UserTable[] = [];
		const built = [...tablesIn(state)].map((table) => [table, table.roles] as const);
		try {
			for (const user of usersOf(state)) {
				this.users.hold(user);
				held.push(user);
			}
			this.write(rid, old, state);
		} catch (error) {
			// what stood there before has its frames: it can be written again
			this.write(rid, state, old);
			this.unit.invalidate({ scope: "device", rid });
			for (const user of held) this.users.drop(user);
			for (const [table, roles] of built) table.keepOnly(roles);
			throw refused(error, "attach", `${this.name}, rid 0x${rid.toString(16)}`);
		}
		this.unit.invalidate({ scope: "device", rid });
		if (this.usesAts(old)) this.dropDevice(rid, "all");
		this.states.set(rid, state);
		if (isNested(state)) this.nested.set(rid, state);
		else this.nested.delete(rid);
		if (this.usesAts(state)) this.ats.set(rid, state);
		else this.ats.delete(rid);
		for (const user of usersOf(old)) {
			this.dropUser(user);
			this.users.drop(user);
		}
	}

	invalidate(rid: number, pasid: number | null | "all", caches: CacheSelection, range?: AddressRange): void {
		this.dropRoute(rid, pasid, caches, range);
		if (caches.deviceTlb && this.usesAts(this.stateOf(rid))) this.dropDevice(rid, pasid, range);
	}

	/** Drop a range of a domain: the smallest aligned power of two that covers it, or all of it. */
	protected dropPages(domain: number, iova: bigint, size: bigint): void {
		const last = iova + size - 1n;
		let mask = 0;
		while (iova >> BigInt(12 + mask) !== last >> BigInt(12 + mask)) mask++;
		if (mask >= 52) this.unit.invalidate({ scope: "domain", domain, caches: ["iotlb"] });
		else this.unit.invalidate({ scope: "page", domain, address: iova, mask });
	}

	/** Whether a walk was stopped by what an entry permits. */
	private isPermission({ outcome }: Translation): boolean {
		return PERMISSION_OUTCOMES.has(outcome);
	}

	translate(rid: number, pasid: number | null, address: bigint, access: "read" | "write"): DmaAnswer {
		const inside = ({ first, last }: AddressRange) => address >= first && address <= last;
		if (pasid === null && this.interrupts.some(inside) && !this.capabilities.reserved.some(inside)) return { ok: false, where: "aside", code: 0 };
		const ats = this.usesAts(this.stateOf(rid)) ? ({ type: "device", pageRequests: false } as const) : {};
		const options = { access, ...ats, ...(pasid === null ? {} : { pasid }) };
		const answer = this.unit.translate(rid, address, options);
		// what the caller asks about is reported nowhere
		while (this.unit.takeFault() !== null) {}
		if (answer.status === "translated") return { ok: true, physical: answer.pa, pageBytes: answer.pageBytes };
		const code = answer.fault;
		if (answer.outcome === 0 || answer.stage === "tables") return { ok: false, where: pasid === null ? "requester" : "pasid", code };
		if (this.isPermission(answer)) return { ok: false, where: "permission", code };
		if (answer.stage !== "second" || !this.isNested(rid, pasid)) return { ok: false, where: "stage1", code };
		const stoppedAt = () => this.stoppedAt(rid, address, options);
		return {
			ok: false,
			where: "stage2",
			code,
			get address() {
				return stoppedAt();
			},
		};
	}

	/** Input address of the second stage that a request was stopped at: asked for where pages may be brought in. */
	private stoppedAt(rid: number, address: bigint, options: TranslateOptions): bigint | undefined {
		const { steps } = this.unit.explain(rid, address, options);
		while (this.unit.takeFault() !== null) {}
		return steps.findLast(({ kind, stage }) => kind === "walk" && stage === "second")?.address;
	}

	private isNested(rid: number, pasid: number | null): boolean {
		const { untagged, pasids, pasidTable } = this.stateOf(rid);
		if (pasidTable !== undefined) return pasid !== null;
		return (pasid === null ? untagged : pasids.get(pasid))?.kind === "user";
	}
}

/** OUTCOME_NO_READ, NO_WRITE, NO_EXECUTE, NO_USER of assembly/layout.ts */
const PERMISSION_OUTCOMES = new Set([3, 4, 5, 6]);

/** Users' tables that a requester's routes lead to. */
function* usersOf({ untagged, pasids }: RequesterState): Iterable<UserTable> {
	for (const target of [untagged, ...pasids.values()]) if (target?.kind === "user") yield target.user;
}

/** Tables of spaces that a requester's routes lead through. */
function* tablesIn({ untagged, pasids, pasidTable }: RequesterState): Iterable<EngineTable> {
	for (const target of [untagged, ...pasids.values()]) {
		if (target?.kind === "table") yield target.table as EngineTable;
		else if (target?.kind === "user") yield target.parent as EngineTable;
	}
	if (pasidTable !== undefined) yield pasidTable.parent as EngineTable;
}

function isNested(state: RequesterState): boolean {
	if (state.pasidTable !== undefined) return true;
	for (const _user of usersOf(state)) return true;
	return false;
}

/** The table of a target that has one of the unit's. @throws CoreError Unsupported */
export function tableOf(target: Target, name: string): EngineTable {
	if (target.kind === "table") return target.table as EngineTable;
	throw new CoreError("Unsupported", "no such route", { operation: "attach", object: name });
}

/** Tags of users' tables, each held as long as some route leads there. */
class UserTags {
	private readonly tags = new Map<UserTable, { tag: number; uses: number }>();

	constructor(
		private readonly take: () => number,
		private readonly give: (tag: number) => void,
	) {}

	/** @throws CoreError */
	hold(user: UserTable): number {
		const known = this.tags.get(user);
		if (known !== undefined) {
			known.uses++;
			return known.tag;
		}
		const tag = this.take();
		this.tags.set(user, { tag, uses: 1 });
		return tag;
	}

	/** The tag of a table that is held. */
	of(user: UserTable): number {
		const known = this.tags.get(user);
		if (known === undefined) throw new Error("a user's table without a tag");
		return known.tag;
	}

	drop(user: UserTable): void {
		const known = this.tags.get(user);
		if (known === undefined) return;
		known.uses--;
		if (known.uses > 0) return;
		this.tags.delete(user);
		this.give(known.tag);
	}
}
