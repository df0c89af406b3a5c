/** What went wrong, for programs. */
export type EngineErrorCode =
	| "BadConfig"
	| "OutOfMemory"
	| "OutOfFrames"
	| "OutOfRecords"
	| "Disposed"
	| "Misaligned"
	| "OutOfRange"
	| "Occupied"
	| "Permission"
	| "Unsupported"
	| "MemoryFault";

/** Where it went wrong. `first` and `last` are inclusive addresses. */
export interface EngineErrorContext {
	/** the operation, as its method is called: "PageTable.map" */
	operation: string;
	/** the object: "unit 0", "region 0x1000" */
	object?: string;
	first?: bigint;
	last?: bigint;
	/** the configuration value to change */
	knob?: string;
	/** why memory refused an access */
	refusal?: "absent" | "poison" | "read-only" | "no-page";
}

const hex = (value: bigint) => `0x${value.toString(16)}`;

/**
 * Every error that the engine throws. The message names operation, object, range and knob; the same stand in
 * `context`. State is as before the call.
 */
export class EngineError extends Error {
	override readonly name = "EngineError";
	readonly code: EngineErrorCode;
	readonly context: EngineErrorContext;

	constructor(code: EngineErrorCode, what: string, context: EngineErrorContext) {
		let text = `${context.operation}: ${what}`;
		if (context.object !== undefined) text += `, ${context.object}`;
		if (context.first !== undefined && context.last !== undefined) text += `, [${hex(context.first)}, ${hex(context.last)}]`;
		if (context.knob !== undefined) text += ` (see ${context.knob})`;
		super(text);
		this.code = code;
		this.context = context;
	}
}
