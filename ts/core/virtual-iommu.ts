import type { Device } from "./device.ts";
import { CoreError } from "./errors.ts";
import type { FailPoint } from "./fail-point.ts";
import type { MappedTable } from "./io-table.ts";
import type { IommuDriver } from "./iommu-driver.ts";
import type { VirtualHost, VirtualUnit } from "./iommu-user.ts";

/** An event for the guest, or the note that events were lost. */
export interface VirtualEvent {
	/** counts lost events too */
	readonly sequence: number;
	/** null: events were lost before */
	readonly data: Uint8Array | null;
}

/** Events of one type for a guest; when it is full, a last note says that some are lost. */
export class EventQueue {
	private readonly waiting: VirtualEvent[] = [];
	private lost: VirtualEvent | null = null;
	private sequence = 0;
	readonly wakeups = new Set<() => void>();

	constructor(
		readonly depth: number,
		private readonly failures: FailPoint,
	) {}

	/** @throws CoreError NoSpace: counted as lost */
	report(data: Uint8Array): void {
		const { sequence } = this;
		this.sequence = (this.sequence + 1) & 0x7fff_ffff;
		let full = this.waiting.length >= this.depth;
		let failure: unknown;
		try {
			if (!full) this.failures.pass("event", "report", "event queue");
		} catch (error) {
			full = true;
			failure = error;
		}
		if (full) this.lost = { sequence, data: null };
		else {
			this.lost = null;
			this.waiting.push({ sequence, data });
		}
		for (const wakeup of [...this.wakeups]) wakeup();
		if (failure !== undefined) throw failure;
	}

	get readable(): boolean {
		return this.next !== undefined;
	}

	/** What is read next. */
	get next(): VirtualEvent | undefined {
		return this.waiting[0] ?? this.lost ?? undefined;
	}

	/** It was read. */
	shift(): void {
		if (this.waiting.length > 0) this.waiting.shift();
		else this.lost = null;
	}
}

/** A guest's view of a physical IOMMU: its devices under the guest's numbers, its events and queues. */
export class VirtualIommu implements VirtualHost {
	readonly devices = new Map<bigint, Device>();
	readonly events = new Map<number, EventQueue>();
	unit!: VirtualUnit;

	constructor(
		readonly name: string,
		readonly iommu: IommuDriver,
		/** table under the guest's own */
		readonly table: MappedTable,
	) {}

	get parent() {
		return this.table.hardware;
	}

	requesterOf(virtualId: bigint): number | undefined {
		return this.devices.get(virtualId)?.rid;
	}

	virtualIdOf(rid: number): bigint | undefined {
		for (const [id, device] of this.devices) if (device.rid === rid) return id;
		return undefined;
	}

	physical(iova: bigint): bigint | undefined {
		const { space } = this.table;
		const area = space.areas.first(iova, iova);
		return area === undefined ? undefined : space.extentsOf(area, iova, iova)[0]?.address;
	}

	/** @throws CoreError Occupied: the number is taken */
	addDevice(virtualId: bigint, device: Device): void {
		if (this.devices.has(virtualId)) throw new CoreError("Occupied", `number ${virtualId} is taken`, { operation: "virtual_device", object: this.name });
		this.devices.set(virtualId, device);
	}

	/** Give the guest an event. @throws CoreError Unsupported: nobody listens to the type */
	report(type: number, data: Uint8Array): void {
		const queue = this.events.get(type);
		if (queue === undefined) throw new CoreError("Unsupported", `no queue for events of type ${type}`, { operation: "report", object: this.name });
		queue.report(data);
	}
}
