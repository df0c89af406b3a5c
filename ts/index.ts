/**
 * `ioasid`: an IOMMU to embed. The hardware (`Engine`), address spaces and routes (`Machine`), and replay of recorded DMA traces (`replay`).
 * @module
 */
export * from "./core/index.ts";
export { drivers } from "./driver/index.ts";
export * from "./engine/index.ts";
export { driversOf } from "./iommu/index.ts";
export { ReplayError, type ReplayErrorCode } from "./replay/errors.ts";
export { type ImportOptions, importTrace } from "./replay/importers/import.ts";
export type { HardwareOptions, IotlbChoice } from "./replay/machine.ts";
export { type ReplayOptions, type ReplayProgress, replay, replayTrace } from "./replay/replay.ts";
export type { ReplayObserver, Stretch } from "./replay/observer.ts";
export type { NamedSource, Source } from "./replay/source.ts";
export type { Disagreement, ReplayDevice, ReplayFault, ReplaySummary } from "./replay/summary.ts";
export { Access, type Columns, type Damage, type ImportReport, Kind, makeColumns, NO_DEVICE, Scope, type Trace, type TraceDevice, Verdict } from "./replay/trace.ts";
export { VERSION } from "./version.ts";
