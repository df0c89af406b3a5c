/** Address spaces and routes. Knows no errno, no ioctl and no architecture. */
export { Attachment, Slots } from "./attachment.ts";
export { Device, formatAddress, parseAddress } from "./device.ts";
export type { DeviceDriver } from "./device-driver.ts";
export { CoreError, type CoreErrorContext, type CoreReason } from "./errors.ts";
export { Group } from "./group.ts";
export type { AttachHints, Domain, IommuDriver, TableAttributes } from "./iommu-driver.ts";
export { type DeviceConfig, Machine, type RamConfig } from "./machine.ts";
export { PageSource } from "./page-source.ts";
export { Process } from "./process.ts";
export type { Pin } from "./process-frames.ts";
export type { MapOptions, MappingWatcher, ProcessMemory, ProcessObserver } from "./process-memory.ts";
export { MemoryObject } from "./process-object.ts";
export { type Loan, type LoanReport, Space } from "./space.ts";
