import type { AddressSpace, Attached } from "./address-space.ts";
import { CoreError } from "./errors.ts";
import type { AddressRange, IommuDriver, RequesterState, Target, UserPasidTable } from "./iommu-driver.ts";
import { Space } from "./space.ts";
import { PasidTableSpace } from "./pasid-table-space.ts";

/** A space in a slot, and the attachments that put it there. */
export interface Layer {
	space: AddressSpace;
	readonly users: Set<Attached>;
}

/**
 * A routing slot: the untagged requests of one or more RIDs, or one PASID of a RID. Empty means blocked. It may hold a
 * parent and its child: the deepest is installed. Windowed spaces may share it side by side.
 */
export class Slot {
	readonly layers: Layer[] = [];
	/** what lies below a layer that went cannot be shown: nothing gets through till another layer comes or goes */
	blocked = false;

	constructor(
		readonly requesters: Requester[],
		/** null: requests without PASID */
		readonly pasid: number | null,
	) {}

	get empty(): boolean {
		return this.layers.length === 0;
	}

	get top(): Layer | undefined {
		return this.layers[this.layers.length - 1];
	}

	/** Windowed spaces side by side, none above another. */
	get isWindowed(): boolean {
		return !this.empty && this.layers.every(({ users }) => [...users].some(({ mode }) => mode === "rid_window"));
	}

	/** What the hardware is given: the deepest layer, or all windowed ones. */
	get installed(): Layer[] {
		if (this.top === undefined || this.blocked) return [];
		return this.isWindowed ? this.layers : [this.top];
	}

	/** @throws CoreError Occupied when a space beside this one has that window */
	refuseWindow(space: AddressSpace, range: AddressRange, operation: string): void {
		for (const other of this.layers) {
			if (other.space === space || !(other.space instanceof Space)) continue;
			for (const { first, last } of other.space.windows ?? []) {
				if (first <= range.last && last >= range.first) throw new CoreError("Occupied", `${other.space.name} has a window there`, { operation, object: space.name, ...range });
			}
		}
	}

	/** Give the hardware what the layers say now; `undo` takes back what was done to them. @throws CoreError, nothing changed */
	reapply(undo: () => void = () => {}): void {
		const { blocked } = this;
		this.blocked = false;
		applyAll(this.requesters, () => {
			undo();
			this.blocked = blocked;
		});
	}

	/** Nothing gets through, whatever the layers say. */
	block(): void {
		this.blocked = true;
		applyAll(this.requesters);
	}
}

/** Holds of a requester on tables: one for each target that the hardware was given. */
type Hold = { space: AddressSpace; iommu: IommuDriver; merged: boolean };

/** A requester id as the bus shows it, with all its routes. Devices that share it share these. */
export class Requester {
	/** untagged requests without a route use the host's default domain */
	host = true;
	/** the default domain has shown since the RID was last taken from the host */
	defaultSeen = true;
	readonly pasids = new Map<number, Slot>();
	private untaggedSlot: Slot;
	private holds: Hold[] = [];
	private shown: RequesterState = { untagged: { kind: "host" }, pasids: new Map(), ats: false, pri: false };

	constructor(
		readonly iommu: IommuDriver,
		readonly segment: number,
		readonly rid: number,
	) {
		this.untaggedSlot = new Slot([this], null);
	}

	get untagged(): Slot {
		return this.untaggedSlot;
	}

	/** Share the untagged slot of a group, or have one of its own again; both must be empty. */
	useSlot(slot: Slot | null): void {
		const old = this.untaggedSlot;
		old.requesters.splice(old.requesters.indexOf(this), 1);
		this.untaggedSlot = slot ?? new Slot([], null);
		this.untaggedSlot.requesters.push(this);
	}

	slotOf(pasid: number): Slot {
		return this.pasids.get(pasid) ?? new Slot([this], pasid);
	}

	/** ATS is on for its requests: a device with a TLB of its own is attached. */
	private get ats(): boolean {
		return this.someUser(({ ats }) => ats);
	}

	/** Page requests are on for it: a device that makes them is attached where a page may be absent. */
	private get pri(): boolean {
		return this.someUser(({ ats, pri }, space) => ats && pri && space.isFaultable);
	}

	private someUser(is: (user: Attached, space: AddressSpace) => boolean): boolean {
		for (const { layers } of [this.untagged, ...this.pasids.values()]) {
			for (const { space, users } of layers) for (const user of users) if (is(user, space)) return true;
		}
		return false;
	}

	/** IOASIDs installed in the RID slot, and PASID slots. */
	get installedCount(): number {
		let count = this.untagged.installed.length;
		for (const slot of this.pasids.values()) count += slot.installed.length;
		return count;
	}

	/** State that the hardware was given last. */
	get state(): RequesterState {
		return this.shown;
	}

	private take(space: AddressSpace, holds: Hold[], merged: boolean): Target {
		const target = space.acquire(this.iommu, merged);
		holds.push({ space, iommu: this.iommu, merged });
		return target;
	}

	private windows(layers: readonly Layer[], holds: Hold[]): Target {
		const tables = layers.map(({ space }) => {
			const target = this.take(space, holds, false);
			if (target.kind !== "table" || !(space instanceof Space)) throw new CoreError("Unsupported", "only windowed spaces share a RID", { operation: "attach", object: space.name });
			return { table: target.table, windows: space.windows ?? [] };
		});
		return { kind: "windows", tables };
	}

	private build(holds: Hold[], merged: boolean): RequesterState {
		const pasids = new Map<number, Target>();
		for (const [pasid, { installed }] of this.pasids) {
			const [layer] = installed;
			if (layer !== undefined) pasids.set(pasid, this.take(layer.space, holds, merged));
		}
		const { installed, isWindowed } = this.untagged;
		const state: RequesterState = { pasids, ats: this.ats, pri: this.pri };
		const [layer] = installed;
		if (isWindowed) return { ...state, untagged: this.windows(installed, holds) };
		if (layer === undefined) return this.host ? { ...state, untagged: { kind: "host" } } : state;
		const untagged = this.take(layer.space, holds, merged);
		if (!(layer.space instanceof PasidTableSpace) || untagged.kind !== "table") return { ...state, untagged };
		const { format, address, entries } = layer.space;
		const pasidTable: UserPasidTable = { format, address, entries, parent: untagged.table };
		return { ...state, untagged, pasidTable };
	}

	/** Give the hardware the routes as they are now. @throws CoreError; the hardware keeps what it had */
	apply(): void {
		const holds = this.give();
		if (this.shown.untagged?.kind === "host") this.defaultSeen = true;
		for (const { space, iommu, merged } of this.holds) space.release(iommu, merged);
		this.holds = holds;
	}

	/** A set of routes that the unit cannot walk in two stages is tried again with users' tables merged by software. */
	private give(): Hold[] {
		try {
			return this.tryGive(false);
		} catch (error) {
			const nested = [this.untagged, ...this.pasids.values()].some(({ installed }) => installed.some(({ space }) => space.kind === "user"));
			if (!nested || !(error instanceof CoreError) || error.reason !== "Unsupported") throw error;
			return this.tryGive(true);
		}
	}

	private tryGive(merged: boolean): Hold[] {
		const holds: Hold[] = [];
		try {
			const state = this.build(holds, merged);
			this.iommu.configure(this.rid, state);
			this.shown = state;
			return holds;
		} catch (error) {
			for (const hold of holds) hold.space.release(hold.iommu, hold.merged);
			throw error;
		}
	}
}

/** Apply several requesters, all or none; `undo` puts the slots back first. @throws CoreError */
export function applyAll(requesters: Iterable<Requester>, undo: () => void = () => {}): void {
	const done: Requester[] = [];
	try {
		for (const requester of requesters) {
			requester.apply();
			done.push(requester);
		}
	} catch (error) {
		undo();
		for (const requester of done) requester.apply();
		throw error;
	}
}
