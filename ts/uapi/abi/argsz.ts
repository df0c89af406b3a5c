/** How a VFIO call's struct comes in and goes out: argsz, flags, capability chains. */
import { Errno } from "../errno.ts";
import { copyFromUser, copyToUser, type UserMemory } from "../user-memory.ts";
import { type Fields, type Struct, type Updates, u32, type Values } from "./struct.ts";
import { infoCapHeader } from "./vfio.ts";

type Sized = Fields & { argsz: typeof u32; flags: typeof u32 };

/** A struct as its caller sent it. `values` beyond what was read are zero. */
export interface ArgszRequest<F extends Fields> {
	readonly values: Values<F>;
	/** Copy back what ends with `last`, or all; never more than the caller's argsz. @throws Errno EFAULT */
	respond(updates: Updates<F>, last?: keyof F): void;
}

/**
 * Read a struct up to the end of `lastMandatory`, then check it: argsz reaches there, no unknown flag. A flag may bring
 * more fields: `extended` gives, by flag, the field that the struct ends with then; argsz must reach there too.
 * @throws Errno EFAULT, EINVAL
 */
export function receiveArgsz<F extends Sized>(memory: UserMemory, struct: Struct<F>, argp: bigint, lastMandatory: keyof F, knownFlags: number, extended: Readonly<Record<number, keyof F>> = {}): ArgszRequest<F> {
	let end = struct.endOf(lastMandatory);
	const bytes = new Uint8Array(struct.size);
	bytes.set(copyFromUser(memory, argp, end));
	const head = new DataView(bytes.buffer);
	const argsz = u32.read(head, struct.offsets.argsz);
	const flags = u32.read(head, struct.offsets.flags);
	if (argsz < end) throw new Errno("EINVAL", `${struct.name} of ${argsz} bytes, ${end} are needed`);
	if ((flags & ~knownFlags) !== 0) throw new Errno("EINVAL", `${struct.name} with flags 0x${flags.toString(16)}, known are 0x${knownFlags.toString(16)}`);
	const wanted = Object.keys(extended).map(Number).filter((flag) => (flags & flag) !== 0);
	const more = Math.max(end, ...wanted.map((flag) => struct.endOf(extended[flag])));
	if (argsz < more) throw new Errno("EINVAL", `${struct.name} of ${argsz} bytes, its flags need ${more}`);
	if (more > end) {
		bytes.set(copyFromUser(memory, argp + BigInt(end), more - end), end);
		end = more;
	}
	return {
		values: struct.decode(bytes),
		respond(updates, last) {
			struct.write(head, 0, updates);
			const length = last === undefined ? struct.size : struct.endOf(last);
			copyToUser(memory, argp, bytes.subarray(0, Math.min(length, argsz)));
		},
	};
}

/** One capability: its struct from the header on (`next` is filled in), and the elements behind it. */
export interface Capability {
	head: Uint8Array;
	elements?: Uint8Array[];
}

const lengthOf = ({ head, elements = [] }: Capability) => head.length + elements.reduce((sum, one) => sum + one.length, 0);
const padded = (length: number) => (length + 7) & ~7;

/** Bytes of a struct of `size` with these capabilities behind it. */
export const chainEnd = (size: number, capabilities: readonly Capability[]): number => capabilities.reduce((end, one) => end + padded(lengthOf(one)), size);

function chained(capability: Capability, next: number): Uint8Array {
	const head = capability.head.slice();
	infoCapHeader.write(new DataView(head.buffer), 0, { next });
	return head;
}

/**
 * The chain of a device: written behind the struct of `size` when all of it fits into `argsz`, else nothing is.
 * @returns what to answer: the size that is needed when it does not fit, where the chain starts when it does
 * @throws Errno EFAULT
 */
export function writeWholeChain(memory: UserMemory, argp: bigint, argsz: number, size: number, capabilities: readonly Capability[]): { argsz: number; cap_offset: number } {
	const end = chainEnd(size, capabilities);
	if (capabilities.length === 0) return { argsz, cap_offset: 0 };
	if (argsz < end) return { argsz: end, cap_offset: 0 };
	let at = size;
	const bytes = new Uint8Array(end - size);
	capabilities.forEach((one, i) => {
		const after = at + padded(lengthOf(one));
		bytes.set(chained(one, i + 1 < capabilities.length ? after : 0), at - size);
		let element = at - size + one.head.length;
		for (const each of one.elements ?? []) {
			bytes.set(each, element);
			element += each.length;
		}
		at = after;
	});
	copyToUser(memory, argp + BigInt(size), bytes);
	return { argsz, cap_offset: size };
}

/**
 * The chain of the iommufd's container: each capability, and each element of one, is written where it fits; the chain is
 * told to the caller only when all of it does.
 * @returns what to answer: `argsz` is always the size of all
 * @throws Errno EFAULT
 */
export function writeFittingChain(memory: UserMemory, argp: bigint, argsz: number, size: number, capabilities: readonly Capability[]): { argsz: number; cap_offset: number } {
	let at = size;
	let before: number | undefined;
	for (const one of capabilities) {
		let element = at + one.head.length;
		for (const each of one.elements ?? []) {
			if (argsz >= element + each.length) copyToUser(memory, argp + BigInt(element), each);
			element += each.length;
		}
		if (argsz >= element) copyToUser(memory, argp + BigInt(at), chained(one, 0));
		if (before !== undefined && argsz >= at) {
			const next = new Uint8Array(4);
			u32.write(new DataView(next.buffer), 0, at);
			copyToUser(memory, argp + BigInt(before + infoCapHeader.offsets.next), next);
		}
		before = at;
		at += padded(lengthOf(one));
	}
	return { argsz: at, cap_offset: argsz >= at ? size : 0 };
}
