import type { Engine } from "../engine/index.ts";
import { CoreError } from "./errors.ts";

/** What a machine allocates while it works, beside the engine's table frames. */
export type Allocation = "frame" | "table" | "id" | "pin" | "event";

/**
 * The one place where a machine's allocations can be made to fail, for tests of what a failure leaves behind: each
 * allocation passes here first. The engine keeps the count, since its table frames belong to it.
 */
export class FailPoint {
	constructor(private readonly engine: Engine) {}

	/** Fail the `n`th allocation from now on, counting from 1; 0: none. Counting starts anew. */
	failAfter(n: number): void {
		this.engine.failAfter(n);
	}

	/** Allocations since `failAfter` was called last. */
	get allocations(): number {
		return this.engine.allocations;
	}

	/** A failure that was asked for has not come yet. */
	get pending(): boolean {
		return this.engine.failsIn !== 0;
	}

	/** @throws CoreError NoSpace when this one is to fail */
	pass(what: Allocation, operation: string, object: string): void {
		if (this.engine.refuses()) throw new CoreError("NoSpace", `no memory for a ${what}, as asked for`, { operation, object });
	}
}
