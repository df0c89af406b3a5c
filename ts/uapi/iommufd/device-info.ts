/** What a VFIO device tells of itself: it has neither regions nor interrupts, and only DMA. */
import { type Capability, receiveArgsz, writeWholeChain } from "../abi/argsz.ts";
import { DEVICE_FLAGS, deviceFeature, deviceInfo, FEATURE_FLAGS, irqInfo, irqSet, regionInfo, VFIO } from "../abi/vfio.ts";
import { Errno } from "../errno.ts";
import type { UserMemory } from "../user-memory.ts";

const ANY = 0xffff_ffff;

/** @returns what the ioctl returns. @throws Errno EFAULT, EINVAL, ENOTTY: no such command, or feature */
export function deviceQuery(memory: UserMemory, cmd: number, argp: bigint, capabilities: readonly Capability[]): number {
	switch (cmd) {
		case VFIO.deviceGetInfo: {
			const { values, respond } = receiveArgsz(memory, deviceInfo, argp, "num_irqs", ANY);
			const chain = writeWholeChain(memory, argp, values.argsz, deviceInfo.size, capabilities);
			const caps = capabilities.length > 0 ? DEVICE_FLAGS.caps : 0;
			respond({ ...chain, flags: DEVICE_FLAGS.pci | caps, num_regions: 0, num_irqs: 0, pad: 0 });
			return 0;
		}
		case VFIO.deviceGetRegionInfo: {
			const { values } = receiveArgsz(memory, regionInfo, argp, "offset", ANY);
			throw new Errno("EINVAL", `no region ${values.index}`);
		}
		case VFIO.deviceGetIrqInfo: {
			const { values } = receiveArgsz(memory, irqInfo, argp, "count", ANY);
			throw new Errno("EINVAL", `no interrupt ${values.index}`);
		}
		case VFIO.deviceSetIrqs: {
			const { values } = receiveArgsz(memory, irqSet, argp, "count", ANY);
			throw new Errno("EINVAL", `no interrupt ${values.index}`);
		}
		case VFIO.deviceReset:
			throw new Errno("EINVAL", "it cannot be reset by itself");
		case VFIO.deviceFeature: {
			const { mask, get, set, probe } = FEATURE_FLAGS;
			const { flags } = receiveArgsz(memory, deviceFeature, argp, "flags", mask | get | set | probe).values;
			// a probe may ask for both, a call for one
			if (!(flags & probe) && flags & set && flags & get) throw new Errno("EINVAL", "get and set at once");
			throw new Errno("ENOTTY", `no feature ${flags & mask}`);
		}
		default:
			throw new Errno("ENOTTY", `no command 0x${cmd.toString(16)}`);
	}
}
