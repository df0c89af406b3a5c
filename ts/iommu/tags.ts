import { CoreError } from "../core/index.ts";

/** Numbers that tag cached answers: each belongs to one holder at a time. */
export class TagPool {
	private readonly used = new Set<number>();
	private next: number;

	constructor(
		/** what they are called: domain id, VMID, ASID ... */
		private readonly what: string,
		private readonly first: number,
		/** inclusive */
		private readonly last: number,
	) {
		this.next = first;
	}

	/** @throws CoreError Exhausted; Unsupported, Occupied for a number that was asked for */
	take(wanted?: number): number {
		const context = { operation: "attach", object: this.what };
		if (wanted !== undefined) {
			if (!Number.isInteger(wanted) || wanted < 0 || wanted > this.last) throw new CoreError("Unsupported", `no ${this.what} ${wanted}`, context);
			if (this.used.has(wanted)) throw new CoreError("Occupied", `${this.what} ${wanted} is taken`, context);
			this.used.add(wanted);
			return wanted;
		}
		if (this.used.size >= this.last - this.first + 1) throw new CoreError("Exhausted", `every ${this.what} is taken`, context);
		while (this.used.has(this.next)) this.next = this.next === this.last ? this.first : this.next + 1;
		this.used.add(this.next);
		return this.next;
	}

	give(tag: number): void {
		this.used.delete(tag);
	}
}
