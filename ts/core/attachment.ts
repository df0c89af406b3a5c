import type { Device } from "./device.ts";
import { CoreError } from "./errors.ts";
import type { AttachHints } from "./iommu-driver.ts";
import type { Space } from "./space.ts";
import { type MappedTable, refused } from "./table.ts";

/** A device routed into a space: it fills the slot of the device's RID. */
export class Attachment {
	constructor(
		readonly device: Device,
		readonly space: Space,
		readonly table: MappedTable,
	) {}

	/** the tag of its cached answers */
	get domain(): number {
		return this.table.domain.id;
	}
}

/** Slots of one machine: (segment, RID) to attachment; an empty slot is blocked. */
export class Slots {
	private readonly byRid = new Map<number, Attachment>();

	private key(device: Device): number {
		return device.segment * 65536 + device.rid;
	}

	of(device: Device): Attachment | undefined {
		return this.byRid.get(this.key(device));
	}

	/** Route the device's RID into the space. @throws CoreError Busy (slot filled, space lent), NoSpace, Occupied, MemoryFault */
	attachRid(device: Device, space: Space, hints: AttachHints = {}): Attachment {
		const operation = "attach";
		const object = `device ${device.name}`;
		if (this.of(device) !== undefined) throw new CoreError("Busy", "its RID slot is filled", { operation, object });
		const table = space.useTable(device.iommu, hints);
		try {
			device.iommu.route(device.rid, table.domain);
		} catch (error) {
			space.leaveTable(table);
			throw refused(error, operation, object);
		}
		const attachment = new Attachment(device, space, table);
		this.byRid.set(this.key(device), attachment);
		return attachment;
	}

	/** Block the device's RID. @throws CoreError NotFound, Busy (the space is lent) */
	detachRid(device: Device): void {
		const attachment = this.of(device);
		if (attachment === undefined) throw new CoreError("NotFound", "nothing is attached", { operation: "detach", object: `device ${device.name}` });
		attachment.space.refuseWhileLent("detach");
		device.iommu.block(device.rid);
		this.byRid.delete(this.key(device));
		attachment.space.leaveTable(attachment.table);
	}
}
