/** What iommufd scenarios are run against: one method for each operation of the vocabulary. */
import type { ErrnoName } from "../../uapi/errno.ts";
import type { Feature, OPERATIONS, Operation, OperationName } from "./iommufd-vocabulary.ts";
import type { Output, ValuesOf } from "./scenario-values.ts";

type Table = typeof OPERATIONS;

export type ParametersOf<N extends OperationName> = Table[N] extends Operation<infer R, infer O, string, string> ? ValuesOf<R, O> : never;

/** What an operation came to. A refusal may be thrown as Errno instead when it has no outputs. */
export interface Answer<B extends string = string, G extends string = string> {
	/** default: it succeeded */
	error?: ErrnoName | "fault";
	/** outputs; with an error those that the kernel gives all the same */
	gives?: { [K in G]?: Output };
	/** numbers for the names that the step binds: ids, descriptors, addresses, cookies */
	binds?: { [K in B]?: number | bigint };
}
export type AnswerOf<N extends OperationName> = Table[N] extends Operation<infer _R, infer _O, infer B, infer G> ? Answer<B, G> : never;

/** Where a step runs; both are numbers that the door gave out. */
export interface CallContext {
	/** open context (descriptor) */
	fd: number;
	process: number;
}

/** A machine with one open context and one process, made afresh for each scenario. */
export type IommufdDoor = {
	[N in Exclude<OperationName, "assert_num">]: (parameters: ParametersOf<N>, context: CallContext) => AnswerOf<N> | undefined;
} & {
	readonly features: ReadonlySet<Feature>;
	/** the context `$fd0` and the process `$main` */
	readonly start: CallContext;
	/** Physical address behind a user address of the first process; undefined when no memory is there. */
	physicalOf(va: bigint): bigint | undefined;
	/** Close every context that is still open. @returns what is wrong then: a refusal, pages that stay pinned, ids, frames; empty when nothing is */
	finish(): string[];
};
