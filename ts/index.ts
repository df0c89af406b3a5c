/**
 * `ioasid`: an IOMMU to embed. The hardware (`Engine`), address spaces and routes (`Machine`), and replay of recorded DMA traces (`replay`).
 * @module
 */
export * from "./core/index.ts";
export { drivers } from "./driver/index.ts";
export * from "./engine/index.ts";
export { BounceIommu, createUnits, driversOf, type UnitDescription, userFormats } from "./iommu/index.ts";
export type { Exporter } from "./replay/exporters/contract.ts";
export { exporters } from "./replay/exporters/index.ts";
export { encodeTrace, TraceFileEncoder } from "./replay/file/encode.ts";
export type { Dictionary } from "./replay/file/format.ts";
export type { TraceHead, TraceStream } from "./replay/head.ts";
export type { CurveBuilderOptions } from "./replay/curve/builder.ts";
export { missCurve, missCurves, type PassOptions, simulate } from "./replay/curve/curve.ts";
export { hitsAt, missRatioAt } from "./replay/curve/hit-counts.ts";
export type { CurveAccesses, CurveReport, CurveResult, HitCurve, Sampling, SimulatedPoint } from "./replay/curve/types.ts";
export { ReplayError, type ReplayErrorCode } from "./replay/errors.ts";
export { type FaultOptions, faultReport, faultReportOf } from "./replay/history.ts";
export type { Cause, EventRef, FaultReport, FaultStory, Histogram, HotPage, LifeTimes } from "./replay/history/types.ts";
export { type ImportOptions, importTrace } from "./replay/importers/import.ts";
export type { LoggedFault } from "./replay/logged-fault.ts";
export { type CostTable, parseCostTable } from "./replay/latency.ts";
export type { HardwareOptions, IotlbChoice } from "./replay/machine.ts";
export { type ReplayOptions, type ReplayProgress, replay, replayStream, replayTrace } from "./replay/replay.ts";
export type { ReplayObserver, Stretch } from "./replay/observer.ts";
export type { NamedSource, Source } from "./replay/source.ts";
export { openTrace, type StreamOptions, streamOf } from "./replay/stream.ts";
export type { Disagreement, LatencyFigures, PageSizeFigures, ReplayDevice, ReplayFault, ReplaySummary } from "./replay/summary.ts";
export { Access, type Columns, type Damage, type ImportReport, Kind, makeColumns, NO_DEVICE, Scope, type Trace, type TraceDevice, Verdict } from "./replay/trace.ts";
export { VERSION } from "./version.ts";
export type { WarmUp } from "./replay/warm-up.ts";
export type { Change, WhatIf } from "./replay/whatif/contract.ts";
export { whatIfs } from "./replay/whatif/index.ts";
export { type Choice, type WhatIfOptions, whatIf } from "./replay/whatif/run.ts";
export type { WhatIfFigures, WhatIfReport, WhatIfVariant } from "./replay/whatif/types.ts";
export * from "./uapi/index.ts";
