/** The VFIO container (type 1) on an iommufd: its commands act on one space of the file. */
import { type AddressRange, LAST_ADDRESS, type Unmapped, UserPages } from "../../core/index.ts";
import { receiveArgsz, writeFittingChain } from "../abi/argsz.ts";
import { DMA_MAP_FLAGS, DMA_UNMAP_FLAGS, EXTENSION, iommuType1DmaMap, iommuType1DmaUnmap, iommuType1Info, iommuType1InfoCapIovaRange, iommuType1InfoDmaAvail, iovaRange, TYPE1_CAP, TYPE1_INFO_FLAGS, VFIO, VFIO_API_VERSION } from "../abi/vfio.ts";
import type { Caller } from "../descriptors.ts";
import { Errno } from "../errno.ts";
import type { UserMemory } from "../user-memory.ts";
import { mapPages, refuseUserRange } from "./commands-ioas.ts";
import type { Iommufd } from "./door.ts";
import type { IoasEntity } from "./entities.ts";

/** @throws Errno ENODEV */
function compat(door: Iommufd): IoasEntity {
	if (door.compat === null) throw new Errno("ENODEV", "the container has no space");
	return door.compat;
}

/** What a container can do. @returns 1 or 0. @throws Errno ENODEV (coherency of a container without space) */
export function checkExtension(door: Iommufd, extension: number): number {
	const noIommu = door.host.options.noIommu === true;
	switch (extension) {
		case EXTENSION.type1:
		case EXTENSION.type1v2:
		case EXTENSION.unmapAll:
			return noIommu ? 0 : 1;
		case EXTENSION.dmaCc:
			return [...compat(door).space.tables].every(({ iommu }) => iommu.capabilities.enforcesSnoop) ? 1 : 0;
		case EXTENSION.noIommu:
			return noIommu ? 1 : 0;
		default:
			return 0;
	}
}

/** Choose the container's kind; the first one cuts mappings and so does without large pages. @throws Errno EINVAL, ENODEV */
export function setIommu(door: Iommufd, type: number): void {
	if ((type !== EXTENSION.type1 && type !== EXTENSION.type1v2) || door.host.options.noIommu) throw new Errno("EINVAL", `container type ${type}`);
	const { space } = compat(door);
	if (type === EXTENSION.type1) space.setHugePages(false);
}

/** The container's space, made when there is none: a group joins. @throws Errno EINVAL (no-IOMMU mode), ENOMEM */
export function joinContainer(door: Iommufd): IoasEntity {
	if (door.host.options.noIommu) throw new Errno("EINVAL", "no IOMMU, no space");
	door.compat ??= door.createIoas();
	return door.compat;
}

/** @throws Errno ENODEV, EOVERFLOW, EINVAL, EEXIST, EFAULT, ENOMEM */
export function mapDma(door: Iommufd, caller: Caller, { vaddr, iova, size, flags }: { vaddr: bigint; iova: bigint; size: bigint; flags: number }): void {
	const ioas = compat(door);
	const permissions = { read: (flags & DMA_MAP_FLAGS.read) !== 0, write: (flags & DMA_MAP_FLAGS.write) !== 0 };
	refuseUserRange(vaddr, size);
	mapPages(ioas, new UserPages(caller.process), vaddr, size, iova, permissions, door.accountOf(caller));
}

/** @returns bytes unmapped, and what stopped it before it was done. @throws Errno ENODEV, EINVAL, EOVERFLOW, ENOMEM: nothing is unmapped then */
export function unmapDma(door: Iommufd, { iova, size, flags }: { iova: bigint; size: bigint; flags: number }): Unmapped {
	const { space } = compat(door);
	let [first, last] = [iova, iova + size - 1n];
	if ((flags & DMA_UNMAP_FLAGS.all) !== 0) {
		if (iova !== 0n || size !== 0n) throw new Errno("EINVAL", "everything has neither address nor size");
		[first, last] = [0n, LAST_ADDRESS];
	} else if (!space.hugePages) {
		space.cut([last + 1n, first], "unmap_dma");
	}
	if (last < first) throw new Errno("EINVAL", "nothing to unmap");
	if (last > LAST_ADDRESS) throw new Errno("EOVERFLOW", "the range wraps");
	return space.unmap(first, last, "unmap_dma");
}

export interface ContainerInfo {
	/** mask in bytes */
	pageSizes: bigint;
	ranges: AddressRange[];
	/** further mappings that may be made */
	available: number;
}

/** @throws Errno ENODEV */
function containerInfo(door: Iommufd): ContainerInfo {
	const { space } = compat(door);
	let pageSizes = LAST_ADDRESS;
	for (const { iommu } of space.tables) pageSizes &= iommu.capabilities.pageSizes;
	// callers know no pages below the host's
	if (pageSizes & 0xfffn) pageSizes = (pageSizes & ~0xfffn) | 0x1000n;
	return { pageSizes: pageSizes & -space.granule, ranges: space.usable, available: 0xffff_ffff };
}

function getInfo(door: Iommufd, memory: UserMemory, argp: bigint): void {
	const { values, respond } = receiveArgsz(memory, iommuType1Info, argp, "iova_pgsizes", 0xffff_ffff);
	const { pageSizes, ranges, available } = containerInfo(door);
	const header = ({ id, version }: { id: number; version: number }) => ({ id, version, next: 0 });
	const capabilities = [
		{ head: iommuType1InfoDmaAvail.encode({ header: header(TYPE1_CAP.dmaAvail), avail: available }) },
		{
			head: iommuType1InfoCapIovaRange.encode({ header: header(TYPE1_CAP.iovaRange), nr_iovas: ranges.length }),
			elements: ranges.map(({ first, last }) => iovaRange.encode({ start: first, end: last })),
		},
	];
	const chain = writeFittingChain(memory, argp, values.argsz, iommuType1Info.size, capabilities);
	respond({ ...chain, flags: TYPE1_INFO_FLAGS.pgsizes | TYPE1_INFO_FLAGS.caps, iova_pgsizes: pageSizes, pad: 0 });
}

/** A command of the container, by number. @returns what the ioctl returns. @throws Errno, CoreError */
export function containerIoctl(door: Iommufd, caller: Caller, cmd: number, argp: bigint): number {
	const memory = caller.process;
	switch (cmd) {
		case VFIO.getApiVersion:
			return VFIO_API_VERSION;
		case VFIO.checkExtension:
			return checkExtension(door, Number(argp));
		case VFIO.setIommu:
			setIommu(door, Number(argp));
			return 0;
		case VFIO.iommuGetInfo:
			getInfo(door, memory, argp);
			return 0;
		case VFIO.iommuMapDma: {
			const { values } = receiveArgsz(memory, iommuType1DmaMap, argp, "size", DMA_MAP_FLAGS.read | DMA_MAP_FLAGS.write);
			mapDma(door, caller, values);
			return 0;
		}
		case VFIO.iommuUnmapDma: {
			const { values, respond } = receiveArgsz(memory, iommuType1DmaUnmap, argp, "size", DMA_UNMAP_FLAGS.all);
			const { bytes, refused } = unmapDma(door, values);
			// told also when something refuses half way
			respond({ size: bytes }, "size");
			if (refused !== null) throw refused;
			return 0;
		}
		default:
			throw new Errno("ENOTTY", `no command 0x${cmd.toString(16)}`);
	}
}

