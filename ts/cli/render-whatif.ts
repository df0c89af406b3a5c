import pc from "picocolors";
import type { WhatIfFigures, WhatIfReport } from "../replay/whatif/types.ts";
import { number, percent, table } from "./table.ts";

const per = (part: number, whole: number) => (whole === 0 ? "-" : (part / whole).toFixed(3));
const levels = (list: readonly number[], dma: number) => list.map((n) => per(n, dma)).join(" ");

/** Figures in the order of rows. */
const ROWS: [label: string, of: (f: WhatIfFigures) => string][] = [
	["events", (f) => number(f.events)],
	["DMAs", (f) => number(f.dma)],
	["hit rate", (f) => percent(f.hits, f.hits + f.misses)],
	["misses", (f) => number(f.misses)],
	["walk references", (f) => number(f.references)],
	["references per DMA", (f) => per(f.references, f.dma)],
	["by level, leaves first", (f) => [levels(f.referencesByLevel.first, f.dma), levels(f.referencesByLevel.second, f.dma)].filter((text) => text !== "").join(" | ") || "-"],
	["invalidations", (f) => number(f.invalidations)],
	["invalidations per DMA", (f) => per(f.invalidations, f.dma)],
	["stale answers", (f) => number(f.stale)],
	["wrong addresses", (f) => number(f.wrongAddress)],
	["unexplained", (f) => number(f.unexplained)],
	["table frames", (f) => number(f.tableFrames)],
];

const figure = (value: number) => (Number.isInteger(value) ? number(value) : value.toLocaleString("en-US", { maximumSignificantDigits: 4 }));

/** A column for the trace as it was, one for each variant, and what each variant says of itself. */
export function renderWhatIf({ base, variants }: WhatIfReport): string {
	const columns = [base, ...variants.map(({ figures }) => figures)];
	const out = [table(["", "base", ...variants.map(({ name }) => name)], ROWS.map(([label, of]) => [label, ...columns.map(of)]), [false, ...columns.map(() => true)])];
	for (const { name, title, extra, notes } of variants) {
		out.push("", `${pc.bold(name)}: ${title}`, ...extra.map(({ label, value }) => `  ${label} ${figure(value)}`), ...notes.map((note) => pc.dim(`  note: ${note}`)));
	}
	return out.join("\n");
}
