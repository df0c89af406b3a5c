/** How an iommufd command comes in and its answer goes out: numbers, the size field, partial structs. */
import { Errno } from "../errno.ts";
import { copyFromUser, copyStructFromUser, copyToUser, type UserMemory } from "../user-memory.ts";
import { COMMANDS, type CommandName, ioctlNumber, ioctlParts } from "./commands.ts";
import { u32, type UpdatesOf, type ValuesOf } from "./struct.ts";

/** A command as its caller sent it. `respond` copies the struct back with these fields changed, as much of it as the caller has. */
export type Request = {
	[N in CommandName]: {
		readonly name: N;
		readonly values: ValuesOf<(typeof COMMANDS)[N]["struct"]>;
		/** the caller's size field, bytes */
		readonly userSize: number;
		/** @throws Errno EFAULT */
		respond(updates: UpdatesOf<(typeof COMMANDS)[N]["struct"]>): void;
	};
}[CommandName];

const NAMES = Object.keys(COMMANDS) as CommandName[];
const FIRST = COMMANDS.destroy.nr;

/** The number lies among the commands: iommufd decodes it. Any other belongs to the VFIO container on the same file. */
export function isCommand(cmd: number, testCommand: boolean): boolean {
	const { nr } = ioctlParts(cmd);
	return nr >= FIRST && nr <= (testCommand ? COMMANDS.test.nr : COMMANDS.hw_queue_alloc.nr);
}

/**
 * Read a command's struct from its caller, checking in the kernel's order: the size field is read, the number is known,
 * the size is enough, what is beyond the known struct is zero, the struct is read.
 * `cmd` is one that `isCommand` takes.
 * @throws Errno EFAULT, ENOTTY, EINVAL, E2BIG, EFAULT
 */
export function receive(memory: UserMemory, cmd: number, argp: bigint, testCommand: boolean): Request {
	const userSize = u32.read(new DataView(copyFromUser(memory, argp, 4).buffer), 0);
	const { nr } = ioctlParts(cmd);
	const name = NAMES.find((one) => COMMANDS[one].nr === nr && (testCommand || one !== "test"));
	if (name === undefined || ioctlNumber(nr) !== cmd >>> 0) throw new Errno("ENOTTY", `no command 0x${(cmd >>> 0).toString(16)}`);
	const { struct, minSize } = COMMANDS[name];
	if (userSize < minSize) throw new Errno("EINVAL", `${struct.name} of ${userSize} bytes, ${minSize} are needed`);
	const bytes = copyStructFromUser(memory, argp, userSize, struct.size);
	return {
		name,
		values: struct.decode(bytes),
		userSize,
		respond(updates: never) {
			struct.write(new DataView(bytes.buffer), 0, updates);
			copyToUser(memory, argp, bytes.subarray(0, Math.min(bytes.length, userSize)));
		},
	} as Request;
}
