/** Every iommufd command: its number, its struct, and the field that the oldest callers' structs end with. */
import * as abi from "./iommufd.ts";
import { testCmd } from "./iommufd-test.ts";
import type { Fields, Struct } from "./struct.ts";

/** type of the numbers, `;` */
const TYPE = 0x3b;

/** `_IO(';', nr)`: no direction and no size in the number */
export const ioctlNumber = (nr: number): number => (TYPE << 8) | nr;

/** The parts of a number, as `_IOC_DIR`, `_IOC_SIZE`, `_IOC_TYPE` and `_IOC_NR` give them. */
export function ioctlParts(cmd: number): { direction: number; size: number; type: number; nr: number } {
	return { direction: (cmd >>> 30) & 3, size: (cmd >>> 16) & 0x3fff, type: (cmd >>> 8) & 0xff, nr: cmd & 0xff };
}

export interface Command<F extends Fields> {
	readonly nr: number;
	readonly struct: Struct<F>;
	/** bytes; a smaller struct is refused */
	readonly minSize: number;
}

const command = <F extends Fields>(nr: number, struct: Struct<F>, lastMandatory: keyof F): Command<F> => ({ nr, struct, minSize: struct.endOf(lastMandatory) });

export const COMMANDS = {
	destroy: command(0x80, abi.destroy, "id"),
	ioas_alloc: command(0x81, abi.ioasAlloc, "out_ioas_id"),
	ioas_allow_iovas: command(0x82, abi.ioasAllowIovas, "allowed_iovas"),
	ioas_copy: command(0x83, abi.ioasCopy, "src_iova"),
	ioas_iova_ranges: command(0x84, abi.ioasIovaRanges, "out_iova_alignment"),
	ioas_map: command(0x85, abi.ioasMap, "iova"),
	ioas_unmap: command(0x86, abi.ioasUnmap, "length"),
	option: command(0x87, abi.option, "val64"),
	vfio_ioas: command(0x88, abi.vfioIoas, "rsvd"),
	hwpt_alloc: command(0x89, abi.hwptAlloc, "rsvd"),
	get_hw_info: command(0x8a, abi.hwInfo, "rsvd"),
	hwpt_set_dirty_tracking: command(0x8b, abi.hwptSetDirtyTracking, "rsvd"),
	hwpt_get_dirty_bitmap: command(0x8c, abi.hwptGetDirtyBitmap, "data"),
	hwpt_invalidate: command(0x8d, abi.hwptInvalidate, "rsvd"),
	fault_queue_alloc: command(0x8e, abi.faultAlloc, "out_fault_fd"),
	ioas_map_file: command(0x8f, abi.ioasMapFile, "iova"),
	viommu_alloc: command(0x90, abi.viommuAlloc, "out_viommu_id"),
	vdevice_alloc: command(0x91, abi.vdeviceAlloc, "virt_id"),
	ioas_change_process: command(0x92, abi.ioasChangeProcess, "rsvd"),
	veventq_alloc: command(0x93, abi.veventqAlloc, "out_veventq_fd"),
	hw_queue_alloc: command(0x94, abi.hwQueueAlloc, "length"),
	test: command(0xa0, testCmd, "last"),
} as const;

export type CommandName = keyof typeof COMMANDS;
