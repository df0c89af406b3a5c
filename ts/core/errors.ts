/** Why core refuses. Doors map a reason and an operation to an errno. */
export type CoreReason = "Occupied" | "Reserved" | "NotFound" | "Busy" | "Misaligned" | "Unsupported" | "NoSpace" | "MemoryFault" | "Denied" | "Overflow";

export interface CoreErrorContext {
	/** as the method is called: "Space.map" */
	operation: string;
	/** "device 0000:00:01.0", "space 3" */
	object: string;
	/** inclusive range of addresses */
	first?: bigint;
	last?: bigint;
}

/** Every error of core: typed, and nothing has changed. */
export class CoreError extends Error {
	override readonly name = "CoreError";
	readonly reason: CoreReason;
	readonly context: CoreErrorContext;

	constructor(reason: CoreReason, what: string, context: CoreErrorContext, options?: ErrorOptions) {
		const range = context.first === undefined || context.last === undefined ? "" : ` [0x${context.first.toString(16)}, 0x${context.last.toString(16)}]`;
		super(`${context.operation}: ${what}: ${context.object}${range}`, options);
		this.reason = reason;
		this.context = context;
	}
}
