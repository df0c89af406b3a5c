/** The AMD IOMMU reference (48882): page tables, device tables with the whole translation, log and command records. */
export * from "./amdvi-device.ts";
export * from "./amdvi-records.ts";
export * from "./amdvi-tables.ts";
export * from "./amdvi-walk.ts";
