/** The hardware: one physical memory and its IOMMU units, in WebAssembly. Nobody else touches linear memory. */
export { ARCHITECTURES, type ArchitectureName } from "./architecture.ts";
export { type CacheConfig, parseCacheConfig, type Replacement } from "./cache-config.ts";
export { Engine, type EngineOptions } from "./engine.ts";
export { EngineError, type EngineErrorCode, type EngineErrorContext } from "./errors.ts";
export { engineModule } from "./instantiate.ts";
export type { CacheName, Invalidation, InvalidationOptions } from "./invalidation.ts";
export { PageTable, type PageTableConfig, type Permissions } from "./page-table.ts";
export type { TableFormatName } from "./page-table-formats.ts";
export { PhysicalMemory } from "./physical-memory.ts";
export { type EngineConfig, type EnginePlan, type HostMemory, planEngine, type RegionConfig, type UnitConfig } from "./plan.ts";
export { EventRun, type RequestCosts, type RunColumns, type RunDeviceCounters } from "./run.ts";
export { type AccessKind, type CacheCounters, type CommandAnswer, type ForeignTable, type QueueAnswer, type RouteConfig, type TranslateOptions, type Translation, Unit, type UnitCounters } from "./unit.ts";
