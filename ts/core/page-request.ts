import type { Attachment } from "./attachment.ts";
import type { Context, FaultEvent } from "./context.ts";
import type { Device } from "./device.ts";
import { translate, routedSpace } from "./dma.ts";
import { CoreError } from "./errors.ts";

export type PageRequestState = "pending" | "success" | "invalid";

/** A device waits for a page. */
export interface PageRequest {
	readonly event: FaultEvent;
	state: PageRequestState;
}

/** Page requests of a machine: those that wait for their user, in order. */
export class PageRequests {
	private readonly pending: PageRequest[] = [];

	/**
	 * A device asks for a page (PRI). What the kernel can bring in is answered at once; else the owner of the space gets
	 * an event and the device waits. `owner` tells the open file that has the space.
	 */
	request(device: Device, pasid: number | null, address: bigint, write: boolean, owner: (event: FaultEvent) => Context | undefined): PageRequest {
		const event = this.event(device, pasid, address, write, true);
		if (event === null) return { event: { device, space: undefined as never, address, write, recoverable: true, vpasid: null, ambiguous: false }, state: "invalid" };
		const request: PageRequest = { event, state: "pending" };
		if (translate(device, pasid, address, write ? "write" : "read").kind !== "fault") {
			request.state = "success";
			return request;
		}
		return this.post(request, owner);
	}

	/** What an event of the device would say; null when its slot is empty. */
	event(device: Device, pasid: number | null, address: bigint, write: boolean, recoverable: boolean): FaultEvent | null {
		const { space, slot } = routedSpace(device, pasid);
		if (space === null || slot === null) return null;
		const routes = slot.layers.flatMap(({ users }) => [...users] as Attachment[]).filter((attachment) => attachment.space === space);
		const route = routes.find((attachment) => attachment.device === device) ?? routes[0];
		const sharing = [...device.group.members].filter((member) => member.requester === device.requester);
		const event: FaultEvent = { device, space, address, write, recoverable, vpasid: route?.vpasid ?? null, ambiguous: sharing.length > 1 && !device.isPart };
		if (pasid !== null && space.kind === "pasid-table") event.pasid = pasid;
		return event;
	}

	/** A request that waits, with its event. */
	post(request: PageRequest, owner: (event: FaultEvent) => Context | undefined): PageRequest {
		owner(request.event)?.events.push(request.event);
		this.pending.push(request);
		return request;
	}

	/** Answer the oldest request that matches. @throws CoreError NotFound */
	respond(matches: (event: FaultEvent) => boolean, state: "success" | "invalid"): void {
		const index = this.pending.findIndex(({ event }) => matches(event));
		if (index < 0) throw new CoreError("NotFound", "no such request waits", { operation: "fault_respond", object: "page requests" });
		this.pending[index].state = state;
		this.pending.splice(index, 1);
	}

	/** Nobody will answer these any more. */
	abandon(matches: (event: FaultEvent) => boolean): void {
		for (let i = this.pending.length - 1; i >= 0; i--) {
			if (!matches(this.pending[i].event)) continue;
			this.pending[i].state = "invalid";
			this.pending.splice(i, 1);
		}
	}
}
