/** Address spaces and routes. Knows no errno, no ioctl and no architecture. */
export { Access } from "./access.ts";
export { AddressSpace, type Attached, type BindingMode, type Location, type Snoop, type SpaceLimits, type SpaceOptions } from "./address-space.ts";
export type { Area, AreaBacking } from "./area.ts";
export { Attachment } from "./attachment.ts";
export { Context, type FaultEvent } from "./context.ts";
export { Device, type DeviceCapabilities, formatAddress, NO_CAPABILITIES, parseAddress } from "./device.ts";
export type { AttachRequest, DeviceDriver, DmaOwnership, RouteOperations } from "./device-driver.ts";
export type { DmaResult, FaultKind } from "./dma.ts";
export { CoreError, type CoreErrorContext, type CoreReason } from "./errors.ts";
export { type Allocation, FailPoint } from "./fail-point.ts";
export { type Extent, FramePool, type FrameRun, PAGE, pushExtent, searchRanges, sliceExtents } from "./frames.ts";
export { Group } from "./group.ts";
export type {
	AddressRange,
	CacheSelection,
	DmaAnswer,
	DmaFault,
	IommuCapabilities,
	IommuDriver,
	IommuTable,
	PageAnswer,
	PageRequestCalls,
	RequesterState,
	TableAttributes,
	TableContent,
	TableRun,
	Target,
	UserPasidTable,
	UserTable,
	Window,
} from "./iommu-driver.ts";
export { FaultQueue, type FaultAnswer, type FaultGroup, type PageFault } from "./fault-queue.ts";
export { IoAccess, type IoPin } from "./io-access.ts";
export { IoArea } from "./io-area.ts";
export { ExportedPages, SharedBuffer, FilePages, type IoOwner, UserPages } from "./io-source.ts";
export { IoSpace, LAST_ADDRESS, type Slice, type SpaceTable, type SpaceUser, type Unmapped } from "./io-space.ts";
export { HardwareTable, MappedTable, type MappedTableOptions, NestedTable } from "./io-table.ts";
export type { HardwareQueue, Invalidated, UserArray, UserDriver, UserInterface, VirtualHost, VirtualUnit } from "./iommu-user.ts";
export { userCallsOf } from "./iommu-user.ts";
export type { UserData } from "./user-data.ts";
export { RunList } from "./run-list.ts";
export { TableRoutes } from "./table-routes.ts";
export { EventQueue, type VirtualEvent, VirtualIommu } from "./virtual-iommu.ts";
export { type DeviceConfig, Machine, type RamConfig } from "./machine.ts";
export { IdentitySpace, SvaSpace } from "./mirror-space.ts";
export type { PageRequest, PageRequestState } from "./page-request.ts";
export { type Account, type PageOwner, PageSource } from "./page-source.ts";
export { DEFAULT_POLICY, type Policy, V1_POLICY } from "./policy.ts";
export { Process, type UnmapListener } from "./process.ts";
export type { MapOptions as MemoryMapOptions, MappingWatcher, ProcessMemory, ProcessObserver } from "./process-memory.ts";
export { MemoryObject } from "./process-object.ts";
export { Routes } from "./routes.ts";
export { type KernelSpaceOptions, type Loan, type LoanReport, Space } from "./space.ts";
export { PasidTableSpace } from "./pasid-table-space.ts";
export { type UserAccess, type UserLeaf, UserSpace, type UserTableReader } from "./user-space.ts";
export { type FunctionKind, groupsOf, type TopologyFunction, type TopologyGroup } from "./topology.ts";
export { type EnqcmdResult, needsWbinvd, VirtualMachine } from "./vm.ts";
