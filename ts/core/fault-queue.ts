import type { Device } from "./device.ts";
import { CoreError } from "./errors.ts";
import type { FailPoint } from "./fail-point.ts";

/** One page that a device asks for. */
export interface PageFault {
	/** read 1, write 2, execute 4, privileged 8 */
	permissions: number;
	address: bigint;
	/** the last one of its group */
	last: boolean;
}

export type FaultAnswer = "success" | "invalid";

/** Page requests that are answered together. */
export interface FaultGroup {
	readonly device: Device;
	readonly pasid: number | null;
	/** number that the device gave */
	readonly group: number;
	readonly faults: readonly PageFault[];
	/** tells the device */
	readonly respond: (answer: FaultAnswer) => void;
}

/** Groups of page requests: those that wait to be read, and those that wait for their answer, by cookie. */
export class FaultQueue {
	private readonly waiting: FaultGroup[] = [];
	private readonly read = new Map<number, FaultGroup>();
	/** told when something becomes readable */
	readonly wakeups = new Set<() => void>();

	constructor(private readonly failures: FailPoint) {}

	/** @throws CoreError NoSpace */
	report(group: FaultGroup): void {
		this.failures.pass("event", "report", "fault queue");
		this.waiting.push(group);
		for (const wakeup of [...this.wakeups]) wakeup();
	}

	get readable(): boolean {
		return this.waiting.length > 0;
	}

	/** The group that is read next. */
	get next(): FaultGroup | undefined {
		return this.waiting[0];
	}

	/** Take the next group; it waits for its answer under a cookie. @throws CoreError NoSpace */
	take(): { cookie: number; group: FaultGroup } {
		this.failures.pass("id", "read", "fault queue");
		const group = this.waiting.shift() as FaultGroup;
		let cookie = 1;
		while (this.read.has(cookie)) cookie++;
		this.read.set(cookie, group);
		return { cookie, group };
	}

	/** The reader could not take it: it is next again. */
	putBack(cookie: number): void {
		const group = this.read.get(cookie);
		this.read.delete(cookie);
		if (group !== undefined) this.waiting.unshift(group);
	}

	/** @throws CoreError Invalid: no such cookie waits */
	answer(cookie: number, answer: FaultAnswer): void {
		const group = this.read.get(cookie);
		if (group === undefined) throw new CoreError("Invalid", `nothing waits under cookie ${cookie}`, { operation: "answer", object: "fault queue" });
		this.read.delete(cookie);
		group.respond(answer);
	}

	/** Nobody will answer these: they are refused. */
	abandon(matches: (group: FaultGroup) => boolean = () => true): void {
		for (let i = this.waiting.length - 1; i >= 0; i--) if (matches(this.waiting[i])) this.waiting.splice(i, 1)[0].respond("invalid");
		for (const [cookie, group] of this.read) {
			if (!matches(group)) continue;
			this.read.delete(cookie);
			group.respond("invalid");
		}
	}
}
