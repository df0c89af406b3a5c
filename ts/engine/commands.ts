/** Commands of a unit's queue: one that the host hands over, or those in memory. */
import { COMMAND_ADDRESS, COMMAND_BYTES, COMMAND_CODE, COMMAND_COUNT, COMMAND_DATA, COMMAND_DONE, COMMAND_INTERRUPT } from "../../assembly/layout.ts";
import { EngineError } from "./errors.ts";
import type { UnitRecord } from "./unit-record.ts";

/** What became of one command. */
export type CommandAnswer =
	| {
			status: "done";
			/** a wait or fence asks for this write, little-endian; it is the caller's to make */
			write: { address: bigint; bytes: 4 | 8; value: bigint } | null;
			/** a wait or fence asks for an interrupt */
			interrupt: boolean;
	  }
	/** `error` as the architecture numbers it: IQERCD.IQEI, CMDQ_CONS.ERR, the event code (AMD), the bit of cqcsr */
	| { status: "illegal"; error: number };

/** How `processQueue` ended. */
export interface QueueAnswer {
	/** `off`: not switched on, or held by an earlier error; `bound`: more is waiting */
	status: (typeof QUEUE_ENDS)[number];
	/** commands done */
	commands: number;
	/** of status `error`, as in CommandAnswer */
	error: number;
	/** one of them asked for an interrupt */
	interrupt: boolean;
}
const QUEUE_ENDS = ["empty", "error", "bound", "off"] as const;

/** See Unit.command. */
export function doCommand({ exports, views, context, result, index, record, architecture }: UnitRecord, bytes: Uint8Array): CommandAnswer {
	if (bytes.length !== 16 && !(bytes.length === 32 && architecture === "vtd")) {
		throw new EngineError("BadConfig", `a command of ${architecture} has ${architecture === "vtd" ? "16 or 32" : "16"} bytes, not ${bytes.length}`, { operation: "Unit.command", object: `unit ${index}` });
	}
	const given = new DataView(bytes.buffer, bytes.byteOffset, bytes.length);
	const words = Array.from({ length: 8 }, (_, i) => (4 * i < bytes.length ? given.getUint32(4 * i, true) : 0));
	const status = exports.command(context, record, ...words);
	const view = views.data();
	if (status !== COMMAND_DONE) return { status: "illegal", error: view.getUint32(result + COMMAND_CODE, true) };
	const size = view.getUint32(result + COMMAND_BYTES, true);
	const write = size === 0 ? null : { address: view.getBigUint64(result + COMMAND_ADDRESS, true), bytes: size as 4 | 8, value: view.getBigUint64(result + COMMAND_DATA, true) };
	return { status: "done", write, interrupt: view.getUint32(result + COMMAND_INTERRUPT, true) !== 0 };
}

/** See Unit.processQueue. */
export function processQueue({ exports, views, context, result, index, record }: UnitRecord, most: number): QueueAnswer {
	if (!Number.isInteger(most) || most < 0 || most > 0xffff_ffff) {
		throw new EngineError("OutOfRange", `${most} is no number of commands`, { operation: "Unit.processQueue", object: `unit ${index}` });
	}
	const status = exports.processQueue(context, record, most);
	const view = views.data();
	const at = (offset: number) => view.getUint32(result + offset, true);
	return { status: QUEUE_ENDS[status], commands: at(COMMAND_COUNT), error: at(COMMAND_CODE), interrupt: at(COMMAND_INTERRUPT) !== 0 };
}
