import type { PageAnswer, PageRequestCalls } from "../core/index.ts";
import type { Unit } from "../engine/index.ts";

/** Page requests of a unit's devices: the device's own requests, the unit's queue, and the responses. */
export class UnitPageRequests implements PageRequestCalls {
	/** pages whose devices have not heard yet that they were refused */
	private readonly refused = new Set<string>();

	constructor(
		private readonly unit: Unit,
		/** the device-table words of a requester let it ask */
		private readonly allowed: (rid: number) => boolean,
	) {}

	private key(rid: number, pasid: number | null, address: bigint): string {
		return `${rid} ${pasid ?? ""} ${address >> 12n}`;
	}

	private ask(rid: number, pasid: number | null, address: bigint, access: "read" | "write") {
		const answer = this.unit.translate(rid, address, { type: "device", access, ...(pasid === null ? {} : { pasid }) });
		// the one reader of the unit's queue, which is never full so
		while (this.unit.takePageRequest() !== null) {}
		while (this.unit.takeFault() !== null) {}
		return answer;
	}

	request(rid: number, pasid: number | null, address: bigint, access: "read" | "write"): PageAnswer | null {
		if (!this.allowed(rid)) return null;
		if (this.refused.delete(this.key(rid, pasid, address))) this.ask(rid, pasid, address, access);
		const { status, group } = this.ask(rid, pasid, address, access);
		if (status === "page-request") return group === null ? null : { group };
		return status === "translated" ? "granted" : "refused";
	}

	respond(rid: number, pasid: number | null, group: number, address: bigint, answer: "success" | "invalid"): void {
		this.unit.respond(rid, group, answer, pasid ?? undefined);
		if (answer === "invalid") this.refused.add(this.key(rid, pasid, address));
	}
}
