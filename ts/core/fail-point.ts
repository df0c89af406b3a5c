import { CoreError } from "./errors.ts";

/** What a machine allocates while it works. */
export type Allocation = "frame" | "table" | "id" | "pin" | "event";

/**
 * The one place where a machine's allocations can be made to fail, for tests of what a failure leaves behind: each
 * allocation passes here first. Page-table frames of the engine have their own (`Engine.failFrameAfter`).
 */
export class FailPoint {
	private left = 0;
	private seen = 0;

	/** Fail the `n`th allocation from now on, counting from 1; 0: none. Counting starts anew. */
	failAfter(n: number): void {
		this.left = n;
		this.seen = 0;
	}

	/** Allocations since `failAfter` was called last. */
	get allocations(): number {
		return this.seen;
	}

	/** @throws CoreError NoSpace when this one is to fail */
	pass(what: Allocation, operation: string, object: string): void {
		this.seen++;
		if (this.left === 0 || this.seen !== this.left) return;
		this.left = 0;
		throw new CoreError("NoSpace", `no memory for a ${what}, as asked for`, { operation, object });
	}
}
