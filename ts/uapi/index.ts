/** Doors to the core: the two 2021 texts, the VFIO container, and KVM's side. Each is thin: names, numbers and errno. */
export { DoorError, type Errno } from "./errors.ts";
export type { AllocOptions, AttachOptions, DeviceInfo, DoorEvent, InvalidateOptions, MapOptions, SpaceInfo } from "./ioasid.ts";
export { IoasidFile } from "./ioasid.ts";
export { IoasidV1 } from "./ioasid-v1.ts";
export { IommuV2 } from "./iommu-v2.ts";
export { KvmVm } from "./kvm.ts";
export { type ContainerType, VfioContainer } from "./vfio-container.ts";
