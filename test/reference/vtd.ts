/** The VT-d reference in one place. */
export * from "./vtd-faults.ts";
export * from "./vtd-first.ts";
export * from "./vtd-registers.ts";
export * from "./vtd-tables.ts";
export * from "./vtd-walk.ts";
