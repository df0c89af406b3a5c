/** Entries to named fields, by the tables of this folder. */
import type { Field } from "./contract.ts";

/** A field of one entry, as it was read. */
export interface DecodedField {
	name: string;
	/** `high:low`, or one number */
	bits: string;
	value: bigint;
	/** the value in words: a code's meaning, or an address */
	text: string;
	means: string;
	/** this field made the translation end */
	decided: boolean;
}

const hex = (value: bigint) => `0x${value.toString(16)}`;

/** The bits of a field. */
export function fieldValue(field: Field, entry: bigint): bigint {
	return (entry >> BigInt(field.low)) & ((1n << BigInt(field.high - field.low + 1)) - 1n);
}

function words(field: Field, value: bigint): string {
	if (field.values !== undefined) return field.values[Number(value)] ?? "";
	return field.shift === undefined ? "" : hex(value << BigInt(field.shift));
}

/** Fields that must be zero under these registers. */
export function isReserved(field: Field, register: (name: string) => bigint): boolean {
	if (field.reserved === undefined) return false;
	return field.reserved === true || ((register(field.reserved.register) >> BigInt(field.reserved.bit)) & 1n) === 0n;
}

/** Every field of an entry that is there in its kind (tables, leaves; undefined: both). */
export function decodeFields(fields: readonly Field[], entry: bigint, kind?: "table" | "leaf"): DecodedField[] {
	return fields
		.filter((field) => field.in === undefined || kind === undefined || field.in === kind)
		.map((field) => {
			const value = fieldValue(field, entry);
			return { name: field.name, bits: field.high === field.low ? `${field.high}` : `${field.high}:${field.low}`, value, text: words(field, value), means: field.means, decided: false };
		});
}
