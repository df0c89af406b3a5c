/** Doors to the core: the two 2021 texts, iommufd by methods and by ioctls, the VFIO container, and KVM's side. Each is thin: names, numbers and errno. */
export { DoorError, ERRNOS } from "./errors.ts";
export type { AllocOptions, AttachOptions, DeviceInfo, DoorEvent, InvalidateOptions, MapOptions, SpaceInfo } from "./ioasid-types.ts";
export { IoasidFile } from "./ioasid.ts";
export { IoasidV1 } from "./ioasid-v1.ts";
export { IommuV2 } from "./iommu-v2.ts";
export { KvmVm } from "./kvm.ts";
export { type ContainerType, VfioContainer } from "./vfio-container.ts";
export { type Caller, type Credentials, Descriptors, type FileOps, POLL } from "./descriptors.ts";
export { Errno as SystemError, type ErrnoName } from "./errno.ts";
export { File, Nodes } from "./file.ts";
export { type CommandInput, type CommandOutput, createIommufd, IommufdClient, IommufdFile, IommufdHost, type IommufdNodes, Selftest, VfioDeviceFile, VfioGroupFile } from "./iommufd.ts";
export { BufferFile, MemoryFile } from "./memory-file.ts";
