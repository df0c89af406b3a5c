/** What a traced translation is made of, step by step. */
import type { EntryFormat, Structure, Words } from "./fields/contract.ts";
import type { DecodedField } from "./fields/decode.ts";

export const ENTRIES = ["absent", "table", "leaf", "reserved", "output-size"] as const;
export const REFUSALS = ["absent", "poison", "read-only", "no-page"] as const;
export const STAGES = ["first", "second", "tables"] as const;

/** One thing that the unit did for a translation, in order. */
export interface TraceStep {
	/** a read; a write of A or D bits; an answer of a cache; the start of a page-table walk */
	kind: "read" | "write" | "cached" | "walk";
	/** whose: a stage's page table, or the device tables */
	stage: (typeof STAGES)[number];
	/** of a page-table entry: 0 holds the smallest leaves; of device tables: 0 is the last */
	level: number;
	/** what is referenced, as the specification calls it: "context entry", "SS-PTE" */
	table: string;
	section: string;
	/** physical; of `walk` the input address, of a walk cache's answer the table */
	address: bigint;
	/** the whole entry, lowest byte first; of `walk` the table that it starts at; of `write` what was written */
	value: bigint;
	bytes: number;
	/** of `cached` */
	cache?: "context" | "pasid" | "iotlb" | "device-tlb" | "walk";
	/** what the engine took the entry for */
	entry?: (typeof ENTRIES)[number];
	/** why memory refused the reference */
	refused?: (typeof REFUSALS)[number];
	/** 0; 1: the second stage of an address of the first stage's tables, or of the device tables */
	depth: number;
	fields: DecodedField[];
	/** the translation ended here */
	decided: boolean;
}

/** The engine's answer, as far as its explanation needs it. */
export interface Answer {
	status: string;
	hit: string;
	fault: number;
	stage: string;
	outcome: number;
	entryAddress: bigint;
	pa: bigint;
}

/** What `explainTrace` reads. */
export interface TraceSource {
	view: DataView;
	offset: number;
	count: number;
	words: Words;
	register(name: string): bigint;
	/** bytes of physical memory; undefined when they cannot be read */
	read(address: bigint, bytes: number): Uint8Array | undefined;
	/** the engine's own judgement of an entry of the walk whose geometry is at `geometry` */
	classify(geometry: number, level: number, entry: bigint): number;
}

/** A step with what only the engine's own decision needs. */
export interface RawStep {
	step: TraceStep;
	structure?: Structure;
	format?: EntryFormat;
	geometry: number;
	/** number of the walk that it belongs to */
	walk: number;
}
