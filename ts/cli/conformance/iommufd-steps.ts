/** What the steps of a scenario have in common: calls to the door, and what they made. */
import type { Device } from "../../core/index.ts";
import type { CommandName } from "../../uapi/abi/commands.ts";
import { TEST_OP } from "../../uapi/abi/iommufd-test.ts";
import { Errno, type ErrnoName } from "../../uapi/errno.ts";
import type { CommandInput, CommandOutput } from "../../uapi/iommufd.ts";
import { DeviceEntity } from "../../uapi/iommufd/entities.ts";
import { SelftestEntity } from "../../uapi/iommufd/selftest.ts";
import type { CallContext } from "./iommufd-door.ts";
import type { IommufdMachine } from "./iommufd-machine.ts";
import type { Transport } from "./iommufd-transport.ts";

export class Steps {
	/** devices that a scenario binds itself: handle of their file -> device */
	readonly bound = new Map<number, Device>();
	/** descriptors of queues, by file and number of the queue */
	private readonly queues = new Map<string, number>();
	/** regions of virtual IOMMUs, by file and number */
	private readonly regions = new Map<string, { offset: bigint; length: bigint }>();

	constructor(
		readonly world: IommufdMachine,
		readonly transport: Transport,
	) {}

	/** @throws Errno */
	command<N extends CommandName>(context: CallContext, name: N, input: CommandInput<N>, privileged = true): CommandOutput<N> {
		const out = {} as CommandOutput<N>;
		this.transport.command({ process: this.world.process(context.process), file: context.fd, privileged }, name, input, out);
		return out;
	}

	/** A command whose outputs count with an error too. */
	attempt<N extends CommandName>(context: CallContext, name: N, input: CommandInput<N>): { error?: ErrnoName; out: CommandOutput<N> } {
		const out = {} as CommandOutput<N>;
		try {
			this.transport.command({ process: this.world.process(context.process), file: context.fd }, name, input, out);
			return { out };
		} catch (error) {
			if (error instanceof Errno) return { error: error.code, out };
			throw error;
		}
	}

	/** @throws Errno */
	test(context: CallContext, op: keyof typeof TEST_OP, input: CommandInput<"test">): { value: number; out: CommandOutput<"test"> } {
		const out = {} as CommandOutput<"test">;
		const value = this.transport.command({ process: this.world.process(context.process), file: context.fd }, "test", { ...input, op: TEST_OP[op] }, out);
		return { value, out };
	}

	/** Descriptor of a handle in the calling process; a number that is no handle stays. */
	fdOf(context: CallContext, handle: number): number {
		try {
			return this.world.fd(this.world.process(context.process), handle);
		} catch (error) {
			if (error instanceof Errno) return handle;
			throw error;
		}
	}

	/** Remember a descriptor that a command gave. @returns its handle */
	remember(context: CallContext, fd: number): number {
		return this.world.remember(this.world.process(context.process), fd);
	}

	rememberQueue(context: CallContext, id: number, handle: number): void {
		this.queues.set(`${context.fd} ${id}`, handle);
	}

	/** File of a queue. */
	queue(context: CallContext, id: number) {
		return this.world.file(this.world.process(context.process), this.queues.get(`${context.fd} ${id}`) ?? id);
	}

	rememberRegion(context: CallContext, id: number, region: { offset: bigint; length: bigint }): void {
		this.regions.set(`${context.fd} ${id}`, region);
	}

	region(context: CallContext, id: number): { offset: bigint; length: bigint } {
		return this.regions.get(`${context.fd} ${id}`) ?? { offset: 0n, length: 0x2000n };
	}

	/** The device of a handle or of a mock device's number. @throws Errno ENOENT */
	device(context: CallContext, reference: number): Device {
		const bound = this.bound.get(reference);
		if (bound !== undefined) return bound;
		const entity = this.world.iommufd(context.fd).objects.any(reference);
		if (entity instanceof SelftestEntity) return entity.device.device;
		if (entity instanceof DeviceEntity) return entity.device;
		throw new Errno("ENOENT", `object ${reference} is a ${entity.kind}`);
	}
}
