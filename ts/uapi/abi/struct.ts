/**
 * C structs as tables: a list of fields gives offsets by the rules of the 64-bit ABIs, typed reads and typed writes.
 * Everything is little-endian. 64-bit fields are bigint, all others number.
 */

/** A C type: where it may lie, and how its value is read and written. `T` is what a read gives, `W` what a write takes. */
export interface Type<T, W = T> {
	/** bytes */
	readonly size: number;
	/** bytes, a power of two */
	readonly align: number;
	read(view: DataView, at: number): T;
	write(view: DataView, at: number, value: W): void;
}

type AnyType = Type<unknown, never>;
export type Fields = Readonly<Record<string, AnyType>>;

type ReadOf<T> = T extends { read(view: DataView, at: number): infer V } ? V : never;
type WriteOf<T> = T extends { write(view: DataView, at: number, value: infer V): void } ? V : never;

/** What a read of a struct with these fields gives. */
export type Values<F extends Fields> = { -readonly [K in keyof F]: ReadOf<F[K]> };
/** What a write of it takes: fields that are left out keep their bytes. */
export type Updates<F extends Fields> = { [K in keyof F]?: WriteOf<F[K]> };

function integer(size: 1 | 2 | 4, signed: boolean): Type<number> {
	const bits = 8 * size;
	const min = signed ? -(2 ** (bits - 1)) : 0;
	const max = signed ? 2 ** (bits - 1) - 1 : 2 ** bits - 1;
	return {
		size,
		align: size,
		read(view, at) {
			if (size === 1) return signed ? view.getInt8(at) : view.getUint8(at);
			if (size === 2) return signed ? view.getInt16(at, true) : view.getUint16(at, true);
			return signed ? view.getInt32(at, true) : view.getUint32(at, true);
		},
		write(view, at, value) {
			if (!Number.isInteger(value) || value < min || value > max) throw new RangeError(`${value} does not fit ${signed ? "s" : "u"}${bits}`);
			if (size === 1) view.setUint8(at, value);
			else if (size === 2) view.setUint16(at, value, true);
			else view.setUint32(at, value, true);
		},
	};
}

export const u8 = integer(1, false);
export const u16 = integer(2, false);
export const u32 = integer(4, false);
export const s32 = integer(4, true);

/** `__aligned_u64`: aligned to 8 on every ABI */
export const u64: Type<bigint> = {
	size: 8,
	align: 8,
	read: (view, at) => view.getBigUint64(at, true),
	write(view, at, value) {
		if (value < 0n || value > 0xffff_ffff_ffff_ffffn) throw new RangeError(`${value} does not fit u64`);
		view.setBigUint64(at, value, true);
	},
};

/** `type name[count]` */
export function array<T, W>(type: Type<T, W>, count: number): Type<T[], readonly W[]> {
	return {
		size: type.size * count,
		align: type.align,
		read: (view, at) => Array.from({ length: count }, (_, i) => type.read(view, at + i * type.size)),
		write(view, at, values) {
			if (values.length > count) throw new RangeError(`${values.length} elements do not fit ${count}`);
			values.forEach((value, i) => {
				type.write(view, at + i * type.size, value);
			});
		},
	};
}

/** `type name[]` at the end of a struct: no bytes of `sizeof`. Reads take as many whole elements as the view has. */
export function flexible<T, W>(type: Type<T, W>): Type<T[], readonly W[]> {
	return {
		size: 0,
		align: type.align,
		read: (view, at) => Array.from({ length: Math.max(0, Math.floor((view.byteLength - at) / type.size)) }, (_, i) => type.read(view, at + i * type.size)),
		write(view, at, values) {
			values.forEach((value, i) => {
				type.write(view, at + i * type.size, value);
			});
		},
	};
}

/** Members at one place. A read decodes the bytes as every member, a write takes the members that are given, in order. */
export function union<F extends Fields>(members: F): Type<Values<F>, Updates<F>> {
	const list = Object.entries(members);
	const align = Math.max(...list.map(([, type]) => type.align));
	return {
		size: roundUp(Math.max(...list.map(([, type]) => type.size)), align),
		align,
		read: (view, at) => Object.fromEntries(list.map(([name, type]) => [name, type.read(view, at)])) as Values<F>,
		write(view, at, values) {
			for (const [name, type] of list) if (values[name] !== undefined) type.write(view, at, values[name] as never);
		},
	};
}

const roundUp = (value: number, align: number) => Math.ceil(value / align) * align;

/** A C struct; usable as the type of a field too. */
export class Struct<F extends Fields> implements Type<Values<F>, Updates<F>> {
	/** bytes from the start, by field */
	readonly offsets: { readonly [K in keyof F]: number };
	/** sizeof */
	readonly size: number;
	readonly align: number;

	constructor(
		/** as C names it */
		readonly name: string,
		readonly fields: F,
	) {
		const offsets: Record<string, number> = {};
		let end = 0;
		let align = 1;
		for (const [field, type] of Object.entries(fields)) {
			offsets[field] = roundUp(end, type.align);
			end = offsets[field] + type.size;
			align = Math.max(align, type.align);
		}
		this.offsets = offsets as { [K in keyof F]: number };
		this.size = roundUp(end, align);
		this.align = align;
	}

	/** offsetofend: the first byte behind a field */
	endOf(field: keyof F): number {
		return this.offsets[field] + this.fields[field].size;
	}

	read(view: DataView, at = 0): Values<F> {
		const values: Record<string, unknown> = {};
		for (const [field, type] of Object.entries(this.fields)) values[field] = type.read(view, at + this.offsets[field]);
		return values as Values<F>;
	}

	/** @throws RangeError when a value does not fit its field; fields before it are written then */
	write(view: DataView, at: number, values: Updates<F>): void {
		for (const [field, type] of Object.entries(this.fields)) {
			const value = values[field];
			if (value === undefined) continue;
			try {
				type.write(view, at + this.offsets[field], value as never);
			} catch (error) {
				throw new RangeError(`${this.name}.${field}: ${error instanceof Error ? error.message : error}`, { cause: error });
			}
		}
	}

	/** Bytes that are missing at the end read as zero. */
	decode(bytes: Uint8Array): Values<F> {
		const whole = bytes.length >= this.size ? bytes : new Uint8Array(this.size);
		if (whole !== bytes) whole.set(bytes);
		return this.read(new DataView(whole.buffer, whole.byteOffset, whole.byteLength), 0);
	}

	/** Fields that are left out are zero; `tail` bytes are added for a flexible array. */
	encode(values: Updates<F>, tail = 0): Uint8Array {
		const bytes = new Uint8Array(this.size + tail);
		this.write(new DataView(bytes.buffer), 0, values);
		return bytes;
	}
}

export const struct = <F extends Fields>(name: string, fields: F) => new Struct(name, fields);

export type ValuesOf<S> = S extends Struct<infer F> ? Values<F> : never;
export type UpdatesOf<S> = S extends Struct<infer F> ? Updates<F> : never;
