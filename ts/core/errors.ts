/**
 * Why core refuses. A door maps a reason and its operation to an errno, because one reason differs by door.
 *
 * - `Invalid` the request does not fit the object; `Misaligned`, `Overflow`, `Reserved`: its range does not
 * - `Occupied` something is there already; `Cut` a mapping sticks out of the range; `NotFound` nothing is there
 * - `Busy` somebody uses it, or owns it; `Excluded` it is given away by another door; `Incomplete` its group is half attached
 * - `Conflict` what is mapped already does not fit the device
 * - `NoSpace` memory or a limit on locked pages is used up; `Exhausted` numbers or a quota are
 * - `MemoryFault` no such process memory; `Denied` not permitted; `Unsupported` the unit, device or format cannot do it
 */
export type CoreReason =
	| "Invalid"
	| "Misaligned"
	| "Overflow"
	| "Reserved"
	| "Occupied"
	| "Cut"
	| "NotFound"
	| "Busy"
	| "Excluded"
	| "Incomplete"
	| "Conflict"
	| "NoSpace"
	| "Exhausted"
	| "MemoryFault"
	| "Denied"
	| "Unsupported";

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
