/** Copies between a door and the memory of its caller, as the kernel's copy_from_user and copy_to_user make them. */
import { CoreError } from "../core/index.ts";
import { Errno } from "./errno.ts";

/** What the copies need of a process. */
export interface UserMemory {
	/** @throws CoreError MemoryFault */
	read(address: bigint, length: number): Uint8Array;
	/** Bytes before the first that cannot be written stay written. @throws CoreError MemoryFault */
	write(address: bigint, data: Uint8Array): void;
}

/** bytes that are looked at or written in one go, whatever length a caller claims */
const CHUNK = 65536;

function userFault(what: string, address: bigint, error: unknown): unknown {
	if (!(error instanceof CoreError)) return error;
	return new Errno(error.reason === "NoSpace" ? "ENOMEM" : "EFAULT", `${what} at 0x${address.toString(16)}`, { cause: error });
}

/** @throws Errno EFAULT */
export function copyFromUser(memory: UserMemory, address: bigint, length: number): Uint8Array {
	try {
		return memory.read(address, length);
	} catch (error) {
		throw userFault(`${length} bytes cannot be read`, address, error);
	}
}

/** @throws Errno EFAULT; bytes before the first bad one stay written */
export function copyToUser(memory: UserMemory, address: bigint, data: Uint8Array): void {
	try {
		memory.write(address, data);
	} catch (error) {
		throw userFault(`${data.length} bytes cannot be written`, address, error);
	}
}

/** Write zeros. @throws Errno EFAULT */
export function clearUser(memory: UserMemory, address: bigint, length: number): void {
	for (let at = 0; at < length; at += CHUNK) copyToUser(memory, address + BigInt(at), new Uint8Array(Math.min(CHUNK, length - at)));
}

/** @throws Errno E2BIG at the first byte that is not zero, EFAULT */
function checkZeroed(memory: UserMemory, address: bigint, length: number): void {
	for (let at = 0; at < length; ) {
		// up to page ends, so that a byte that is set before a bad page is seen first
		const here = address + BigInt(at);
		const bytes = Math.min(length - at, 4096 - Number(here & 4095n));
		if (copyFromUser(memory, here, bytes).some((byte) => byte !== 0)) throw new Errno("E2BIG", `bytes that are not known are set at 0x${here.toString(16)}`);
		at += bytes;
	}
}

/**
 * The first `size` bytes of a struct of which the caller gives `userSize`: what it leaves out is zero, what it has more
 * must be zero (copy_struct_from_user).
 * @throws Errno E2BIG, EFAULT
 */
export function copyStructFromUser(memory: UserMemory, address: bigint, userSize: number, size: number): Uint8Array {
	if (userSize > size) checkZeroed(memory, address + BigInt(size), userSize - size);
	const bytes = new Uint8Array(size);
	bytes.set(copyFromUser(memory, address, Math.min(size, userSize)));
	return bytes;
}

/** Give a struct to a caller who has room for `userSize`: cut or followed by zeros. @throws Errno EFAULT */
export function copyStructToUser(memory: UserMemory, address: bigint, userSize: number, bytes: Uint8Array): void {
	if (userSize > bytes.length) clearUser(memory, address + BigInt(bytes.length), userSize - bytes.length);
	copyToUser(memory, address, bytes.subarray(0, Math.min(userSize, bytes.length)));
}

/**
 * The first `size` bytes of data for a driver (nested table, vIOMMU, an element of an array of requests): what the caller
 * leaves out is zero.
 * @throws Errno EINVAL (null, or shorter than `least`), E2BIG, EFAULT
 */
export function copyDriverData(memory: UserMemory, address: bigint, length: number, least: number, size: number): Uint8Array {
	if (address === 0n || length < least) throw new Errno("EINVAL", `${length} bytes at 0x${address.toString(16)}, ${least} are needed`);
	return copyStructFromUser(memory, address, length, size);
}
