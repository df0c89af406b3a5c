/** One call of a command: the same for callers with structs in memory and for callers in this language. */
import { CoreError, type CoreReason, type UserArray, type UserData } from "../../core/index.ts";
import type { COMMANDS, CommandName } from "../abi/commands.ts";
import type { Fields, Struct, UpdatesOf, Values, ValuesOf } from "../abi/struct.ts";
import type { Caller } from "../descriptors.ts";
import { Errno, type ErrnoName } from "../errno.ts";
import { ERRNOS } from "../errors.ts";
import { copyDriverData, copyStructToUser, type UserMemory } from "../user-memory.ts";

export type CommandValues<N extends CommandName> = ValuesOf<(typeof COMMANDS)[N]["struct"]>;
export type CommandUpdates<N extends CommandName> = UpdatesOf<(typeof COMMANDS)[N]["struct"]>;

export interface Call<N extends CommandName> {
	readonly caller: Caller;
	/** what pointers in `values` lead into */
	readonly memory: UserMemory;
	readonly values: CommandValues<N>;
	/** Give fields back. @throws Errno EFAULT: the call has to be undone */
	respond(updates: CommandUpdates<N>): void;
}

/** Where iommufd says something else than the doors of 2021. */
const IOMMUFD_ERRNOS: Readonly<Record<CoreReason, ErrnoName>> = { ...ERRNOS, Overflow: "EOVERFLOW", Cut: "ENOENT", NotFound: "ENOENT", Excluded: "ENODEV" };

/** What core refuses with, as iommufd tells it. */
export function toErrno(error: unknown): unknown {
	return error instanceof CoreError ? new Errno(IOMMUFD_ERRNOS[error.reason], error.message, { cause: error }) : error;
}

/** Run something of core. @throws Errno */
export function run<T>(act: () => T): T {
	try {
		return act();
	} catch (error) {
		throw toErrno(error);
	}
}

/** @throws Errno EOPNOTSUPP: a reserved field or an unknown flag is set */
export function refuseUnknown(...fields: number[]): void {
	if (fields.some((field) => field !== 0)) throw new Errno("EOPNOTSUPP", "a reserved field or an unknown flag is set");
}

const ALL_ONES = (1n << 64n) - 1n;

/** @throws Errno EOVERFLOW: all ones means nothing here */
export function refuseAllOnes(...values: bigint[]): void {
	if (values.some((value) => value === ALL_ONES)) throw new Errno("EOVERFLOW", "an address or a length of all ones");
}

/** Bytes that a call points to, for the driver of a unit. */
export function userData(memory: UserMemory, type: number, address: bigint, length: number): UserData {
	return {
		type,
		length,
		take: (least, size) => copyDriverData(memory, address, length, least, size),
		give: (bytes) => copyStructToUser(memory, address, length, bytes),
	};
}

export function userArray(memory: UserMemory, type: number, address: bigint, entryLength: number, count: number): UserArray {
	return { type, count, entryLength, take: (index, least, size) => copyDriverData(memory, address + BigInt(index) * BigInt(entryLength), entryLength, least, size) };
}

/** Driver data as a struct of a type. @throws Errno EINVAL (another type, null, too short), E2BIG, EFAULT */
export function readData<F extends Fields>(data: UserData, type: number, struct: Struct<F>, lastMandatory: keyof F): Values<F> {
	if (data.type !== type) throw new Errno("EINVAL", `data of type 0x${data.type.toString(16)}`);
	return struct.decode(data.take(struct.endOf(lastMandatory), struct.size));
}

/** Memory of a caller in this language: each byte array that a call names lies at an address of its own. */
export class BufferMemory implements UserMemory {
	private readonly buffers: Uint8Array[] = [];

	/** The address to give for a buffer. */
	place(buffer: Uint8Array): bigint {
		this.buffers.push(buffer);
		return BigInt(this.buffers.length) << 40n;
	}

	private view(address: bigint, length: number): Uint8Array {
		const buffer = this.buffers[Number(address >> 40n) - 1];
		const offset = Number(address & ((1n << 40n) - 1n));
		if (buffer === undefined || offset + length > buffer.length) {
			throw new CoreError("MemoryFault", "beyond the buffer", { operation: "copy", object: "caller's buffers", first: address, last: address + BigInt(length) - 1n });
		}
		return buffer.subarray(offset, offset + length);
	}

	read(address: bigint, length: number): Uint8Array {
		return this.view(address, length).slice();
	}

	write(address: bigint, data: Uint8Array): void {
		this.view(address, data.length).set(data);
	}
}
