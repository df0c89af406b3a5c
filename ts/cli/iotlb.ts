import { InvalidArgumentError } from "commander";
import { type CacheConfig, EngineError, parseCacheConfig } from "../engine/index.ts";
import type { IotlbChoice } from "../replay/machine.ts";

/** A device-TLB as options name it. @throws InvalidArgumentError */
export function deviceTlb(text: string): CacheConfig | false {
	if (text === "off") return false;
	try {
		return parseCacheConfig(text, "--device-tlb");
	} catch (error) {
		if (error instanceof EngineError) throw new InvalidArgumentError(`${error.message}; or off`);
		throw error;
	}
}

/** An IOTLB as options name it. @throws InvalidArgumentError */
export function iotlb(text: string): IotlbChoice {
	if (text === "qemu-7.2" || text === "qemu-10") return text;
	try {
		return parseCacheConfig(text, "--iotlb");
	} catch (error) {
		if (error instanceof EngineError) throw new InvalidArgumentError(`${error.message}; or qemu-7.2, qemu-10`);
		throw error;
	}
}
