/**
 * What the words of an architecture's tables are called: declarative tables that name the bits of an entry as its
 * specification does. They only name; how an entry is judged is the engine's (assembly/format, assembly/device).
 *
 * To add an architecture: one file with its `Words`, one line in index.ts.
 */

/** One field of an entry. Bits count from 0 at the entry's first byte, little-endian, so a 32-byte entry has bits 255:0. */
export interface Field {
	/** as in the specification */
	name: string;
	high: number;
	low: number;
	/** what it says, in few words */
	means: string;
	/** value -> meaning, for fields that are codes */
	values?: Readonly<Record<number, string>>;
	/** the field is an address (of a table, of a page): its value times 2^shift */
	shift?: number;
	/** must be zero: always, or while the register has this bit clear */
	reserved?: true | { register: string; bit: number };
	/** page-table entries: the field is there in entries that point to a table, or in leaves */
	in?: "table" | "leaf";
}

/** One structure of the device tables. */
export interface Structure {
	name: string;
	section: string;
	bytes: number;
	fields: readonly Field[];
}

/** Why a walk ended, by the engine's OUTCOME_* numbers, in words that all formats share. */
export const OUTCOMES = [
	"translated",
	"not present",
	"reserved bit or encoding",
	"read not permitted",
	"write not permitted",
	"execute not permitted",
	"privilege not sufficient",
	"input address too wide or not canonical",
	"output address too wide",
	"memory access refused",
	"poisoned data",
	"accessed or dirty update refused",
] as const;

/** One page-table entry layout. */
export interface EntryFormat {
	section: string;
	/** name of an entry of a level; 0 holds the smallest leaves */
	level(level: number): string;
	fields: readonly Field[];
	/**
	 * Which fields decide that a walk ends, by OUTCOME_* number, and the value with which they refuse; the first entry of
	 * the walk that has a field with its value is the one that decided. Reserved bits are found by the engine itself.
	 */
	decides: Readonly<Record<number, ReadonlyArray<readonly [field: string, refusing: number]>>>;
}

/** What a device-table reference of the engine is: `phase` of the device entry or of the PASID's, `level` as counted. */
export interface Place {
	phase: "device" | "pasid" | "walk";
	level: number;
	register(name: string): bigint;
}

/**
 * One fault code. `fields` are those of the structure read last that decide it, when it is a device table's: one bit with
 * its 0 (`NAME=1`: with its 1), more bits with whatever they hold. None: reserved bits, or addresses that are too wide.
 */
export interface FaultName {
	name: string;
	means: string;
	section: string;
	fields?: readonly string[];
}

/** All that one architecture's tables and faults are called. */
export interface Words {
	/** registers that say where the tables start and how they are read, as names of `Unit.readRegister` */
	registers: readonly string[];
	structure(place: Place): Structure | undefined;
	/** by FORMAT_* number of the geometry */
	formats: Readonly<Record<number, EntryFormat>>;
	faults: Readonly<Record<number, FaultName>>;
}

/** A field of one bit, or of bits [high, low]. */
export function field(name: string, bits: number | readonly [high: number, low: number], means: string, more: Omit<Field, "name" | "high" | "low" | "means"> = {}): Field {
	const [high, low] = typeof bits === "number" ? [bits, bits] : bits;
	return { name, high, low, means, ...more };
}

/** Bits that must be zero. */
export function zero(bits: number | readonly [high: number, low: number], more: Omit<Field, "name" | "high" | "low" | "means" | "reserved"> = {}): Field {
	return field("reserved", bits, "must be zero", { reserved: true, ...more });
}

/** Fault codes of one section: code, name, meaning, and the fields that decide. */
export function faultTable(section: string, rows: ReadonlyArray<readonly [code: number, name: string, means: string, ...fields: string[]]>): Record<number, FaultName> {
	return Object.fromEntries(rows.map(([code, name, means, ...fields]) => [code, { name, means, section, fields }]));
}
