import type { AddressSpace, Space } from "../core/index.ts";

/** What an IOASID number of an open file stands for; the space may change its kind under its number. */
export interface IoasidNode {
	space: AddressSpace;
	/** further spaces that hold the same maps: a container whose devices cannot share one */
	mirrors: Space[];
	/** `explicitEnable`: maps are taken from now on, attaches no more */
	enabled: boolean;
}
