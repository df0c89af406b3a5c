/** Two ways to the iommufd door: methods with values, and ioctls with structs in process memory. */
import type { Process } from "../../core/index.ts";
import { COMMANDS, type CommandName, ioctlNumber } from "../../uapi/abi/commands.ts";
import type { Fields, Struct } from "../../uapi/abi/struct.ts";
import { errnoName, Errno } from "../../uapi/errno.ts";
import { type CommandInput, type CommandOutput, invoke } from "../../uapi/iommufd.ts";
import type { IommufdMachine } from "./iommufd-machine.ts";

export interface CallerOf {
	process: Process;
	/** handle of the file */
	file: number;
	privileged?: boolean;
}

export interface Transport {
	/** `out` receives what comes back, also with an error. @returns the ioctl's value. @throws Errno */
	command<N extends CommandName>(caller: CallerOf, name: N, input: CommandInput<N>, out?: CommandOutput<N>): number;
	/** A name for messages. */
	readonly name: string;
}

export const typed = (world: IommufdMachine): Transport => ({
	name: "typed",
	command: ({ process, file, privileged }, name, input, out) => invoke(world.iommufd(file), name, world.caller(process, privileged), input, out),
});

/** @throws Errno for a negative result */
export function result(value: number | bigint): number {
	if (value >= 0) return Number(value);
	throw new Errno(errnoName(Number(value)) ?? "EIO", `the call returned ${value}`);
}

const HEAD = 256;

export const binary = (world: IommufdMachine): Transport => ({
	name: "binary",
	command({ process, file, privileged }, name, input, out) {
		const { nr } = COMMANDS[name];
		const struct = COMMANDS[name].struct as unknown as Struct<Fields>;
		const buffers: Array<{ bytes: Uint8Array; offset: number }> = [];
		let size = HEAD;
		const layOut = (value: unknown, base: bigint): unknown => {
			if (value instanceof Uint8Array) {
				buffers.push({ bytes: value, offset: size });
				const at = base + BigInt(size);
				size += (value.length + 7) & ~7;
				return at;
			}
			if (typeof value !== "object" || value === null || Array.isArray(value)) return value;
			return Object.fromEntries(Object.entries(value).map(([key, one]) => [key, layOut(one, base)]));
		};
		layOut(input, 0n);
		const total = size;
		return world.withMemory(process, total, (base) => {
			buffers.length = 0;
			size = HEAD;
			const values = layOut(input, base) as Record<string, unknown>;
			process.write(base, struct.encode({ ...values, size: struct.size } as never));
			for (const { bytes, offset } of buffers) process.write(base + BigInt(offset), bytes);
			const answer = world.file(process, file, privileged).ioctl(ioctlNumber(nr), base);
			for (const { bytes, offset } of buffers) bytes.set(process.read(base + BigInt(offset), bytes.length));
			if (out !== undefined) Object.assign(out, struct.decode(process.read(base, struct.size)));
			return result(answer);
		});
	},
});
