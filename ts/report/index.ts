/** Reports of a replay: a page, a trace for Perfetto, lines for a terminal. */
export { type ReportInput, reportData } from "./build.ts";
export { Collector } from "./collector.ts";
export type { AddressMapData, CurveData, DeviceRow, ReportData } from "./data.ts";
export { renderReport } from "./html.ts";
export { makeReport } from "./make.ts";
export { PerfettoTrace } from "./perfetto.ts";
export { hitRateLines } from "./sparkline.ts";
