import type { Attachment } from "./attachment.ts";
import { Context, type FaultEvent } from "./context.ts";
import type { Device } from "./device.ts";
import { translate, routedSpace } from "./dma.ts";
import { CoreError } from "./errors.ts";
import { HardwareTable } from "./io-table.ts";

export type PageRequestState = "pending" | "success" | "invalid";

/** A device waits for a page. */
export interface PageRequest {
	readonly event: FaultEvent;
	state: PageRequestState;
	/** number on the bus that the request carries */
	readonly pasid: number | null;
	/** group under which the device's unit waits for the response; null: it has no part in it */
	readonly group: number | null;
}

/** read 1, write 2, as FaultQueue has them */
const READ = 1;
const WRITE = 2;

/** Page requests of a machine: those that wait for their user, in order. */
export class PageRequests {
	private readonly pending: PageRequest[] = [];

	/** How many requests wait. */
	get waiting(): number {
		return this.pending.length;
	}

	/**
	 * A device asks for a page (PRI), through its unit where that takes page requests. What the kernel can bring in is
	 * answered at once; else the owner of the space gets an event, or the table's fault queue a group, and the device waits.
	 * @throws CoreError NoSpace: the fault queue takes no more; the request is refused
	 */
	request(device: Device, pasid: number | null, address: bigint, write: boolean): PageRequest {
		const event = this.event(device, pasid, address, write, true);
		if (event === null) return { event: { device, space: undefined as never, address, write, recoverable: true, vpasid: null, ambiguous: false }, state: "invalid", pasid, group: null };
		const access = write ? "write" : "read";
		const { iommu, rid } = device;
		const asked = iommu.pageRequests?.request(rid, pasid, address, access) ?? null;
		const named = asked !== null && typeof asked === "object" ? asked.group : null;
		// a device that asks twice waits under one group
		const group = this.pending.some((other) => other.group === named && other.event.device.requester === device.requester) ? null : named;
		const request: PageRequest = { event, state: "pending", pasid, group };
		if (translate(device, pasid, address, access).kind !== "fault") {
			this.settle(request, "success");
			return request;
		}
		return this.post(request);
	}

	/** What an event of the device would say; null when its slot is empty. */
	event(device: Device, pasid: number | null, address: bigint, write: boolean, recoverable: boolean): FaultEvent | null {
		const { space, slot } = routedSpace(device, pasid, address);
		if (space === null || slot === null) return null;
		const routes = slot.layers.flatMap(({ users }) => [...users] as Attachment[]).filter((attachment) => attachment.space === space);
		const route = routes.find((attachment) => attachment.device === device) ?? routes[0];
		const sharing = [...device.group.members].filter((member) => member.requester === device.requester);
		const event: FaultEvent = { device, space, address, write, recoverable, vpasid: route?.vpasid ?? null, ambiguous: sharing.length > 1 && !device.isPart };
		if (pasid !== null && space.kind === "pasid-table") event.pasid = pasid;
		return event;
	}

	/** Tell the owner of the event's space. */
	tell(event: FaultEvent): void {
		const { owner } = event.space;
		if (owner instanceof Context) owner.events.push(event);
	}

	/** A request that waits, with its event. @throws CoreError NoSpace: it is refused */
	post(request: PageRequest): PageRequest {
		const { event, pasid, group } = request;
		this.pending.push(request);
		if (!(event.space instanceof HardwareTable)) {
			this.tell(event);
			return request;
		}
		const { device, space, address, write } = event;
		const respond = (answer: "success" | "invalid") => this.end(request, answer);
		if (space.faultQueue === null) {
			respond("invalid");
			return request;
		}
		try {
			space.faultQueue.report({ device, pasid, group: group ?? 0, faults: [{ permissions: write ? WRITE : READ, address: address & ~0xfffn, last: true }], respond });
		} catch (error) {
			respond("invalid");
			throw error;
		}
		return request;
	}

	/** The device, and its unit, hear the answer. */
	private settle(request: PageRequest, state: "success" | "invalid"): void {
		const { event, pasid, group } = request;
		request.state = state;
		if (group !== null) event.device.iommu.pageRequests?.respond(event.device.rid, pasid, group, event.address, state);
	}

	private end(request: PageRequest, state: "success" | "invalid"): void {
		const index = this.pending.indexOf(request);
		if (index < 0) return;
		this.pending.splice(index, 1);
		this.settle(request, state);
	}

	/** Answer the oldest request that matches. @throws CoreError NotFound */
	respond(matches: (event: FaultEvent) => boolean, state: "success" | "invalid"): void {
		const request = this.pending.find(({ event }) => matches(event));
		if (request === undefined) throw new CoreError("NotFound", "no such request waits", { operation: "fault_respond", object: "page requests" });
		this.end(request, state);
	}

	/** Nobody will answer these any more. */
	abandon(matches: (event: FaultEvent) => boolean): void {
		for (const request of this.pending.filter(({ event }) => matches(event))) this.end(request, "invalid");
	}
}
