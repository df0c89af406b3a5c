/** The file of /dev/iommu: commands by number with structs in the caller's memory. */
import type { CommandName } from "../abi/commands.ts";
import { isCommand, receive } from "../abi/framing.ts";
import type { Caller, FileOps } from "../descriptors.ts";
import { Errno } from "../errno.ts";
import { type Call, run, toErrno } from "./call.ts";
import { containerIoctl } from "./container.ts";
import { Iommufd } from "./door.ts";
import { HANDLERS } from "./handlers.ts";

export class IommufdFile extends Iommufd implements FileOps {
	ioctl(caller: Caller, cmd: number, argp: bigint): number {
		const tested = this.host.test !== null;
		if (!isCommand(cmd, tested)) return run(() => containerIoctl(this, caller, cmd, argp));
		const { name, values, respond } = receive(caller.process, cmd, argp, tested);
		return this.call(name, { caller, memory: caller.process, values, respond } as unknown as Call<CommandName>);
	}

	/** Run a command. @returns what the ioctl returns. @throws Errno */
	call<N extends CommandName>(name: N, call: Call<N>): number {
		try {
			if (name === "test") {
				if (this.host.test === null) throw new Errno("ENOTTY", "the machine has no test command");
				return this.host.test.run(this, call as unknown as Call<"test">);
			}
			(HANDLERS[name as Exclude<CommandName, "test">] as (door: Iommufd, call: unknown) => void)(this, call);
			return 0;
		} catch (error) {
			throw toErrno(error);
		}
	}
}
