/** Every command with what runs it. */
import type { CommandName } from "../abi/commands.ts";
import type { Call } from "./call.ts";
import * as ioas from "./commands-ioas.ts";
import * as tables from "./commands-table.ts";
import * as virtual from "./commands-virtual.ts";
import type { Iommufd } from "./door.ts";

type Handlers = { readonly [N in Exclude<CommandName, "test">]: (door: Iommufd, call: Call<N>) => void };

export const HANDLERS: Handlers = {
	destroy: (door, { values }) => door.destroy(values.id),
	ioas_alloc: ioas.alloc,
	ioas_allow_iovas: ioas.allowIovas,
	ioas_copy: ioas.copy,
	ioas_iova_ranges: ioas.iovaRanges,
	ioas_map: ioas.map,
	ioas_unmap: ioas.unmap,
	option: ioas.option,
	vfio_ioas: ioas.vfioIoas,
	ioas_map_file: ioas.mapFile,
	ioas_change_process: ioas.changeProcess,
	hwpt_alloc: tables.alloc,
	get_hw_info: tables.hardwareInfo,
	hwpt_set_dirty_tracking: tables.setDirtyTracking,
	hwpt_get_dirty_bitmap: tables.dirtyBitmap,
	hwpt_invalidate: tables.invalidate,
	fault_queue_alloc: tables.faultQueueAlloc,
	viommu_alloc: virtual.viommuAlloc,
	vdevice_alloc: virtual.vdeviceAlloc,
	veventq_alloc: virtual.veventqAlloc,
	hw_queue_alloc: virtual.hwQueueAlloc,
};
