import type { Slot } from "./slot.ts";

/**
 * Devices that the platform cannot tell apart or keep apart. A group owns no attachment: members have their own. While
 * a user owns it, members without a route are blocked.
 */
export class Group<Member = unknown> {
	readonly members = new Set<Member>();
	/** the open file that its devices are given to */
	owner: object | null = null;
	/** untagged slot of all members, when they share one */
	sharedSlot: Slot | null = null;

	constructor(readonly name: string) {}
}
