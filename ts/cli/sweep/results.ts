/** The results of a sweep as files and for people. */
import { optional } from "../../replay/optional.ts";
import { InvalidArgumentError } from "commander";
import { writeOutput } from "../output.ts";
import { number, percent, table } from "../table.ts";
import type { Results } from "./journal.ts";
import { jobsOf, type Plan } from "./plan.ts";
import type { Result } from "./run-task.ts";

/** One result with what it is of. */
export interface SweepRow extends Result {
	trace: string;
	/** by dimension */
	point: Record<string, string>;
}

/** The object that `--json` prints. */
export interface SweepReport {
	version: 1;
	ioasid: string;
	traces: Plan["traces"];
	grid: Plan["grid"];
	rows: SweepRow[];
}

/** In the order of the plan, whatever the order in which results came. */
export function reportOf(plan: Plan, results: Results): SweepReport {
	const rows = jobsOf(plan).flatMap(({ index, trace, values }): SweepRow[] => {
		const result = results.get(index);
		if (result === undefined) return [];
		return [{ trace: plan.traces[trace].name, point: Object.fromEntries(plan.grid.map(({ name }, i) => [name, values[i]])), ...result }];
	});
	return { version: 1, ioasid: plan.version, traces: plan.traces, grid: plan.grid, rows };
}

const figureNames = ({ rows }: SweepReport): string[] => Object.keys(rows[0]?.figures ?? {});

function csv(report: SweepReport): string {
	const cell = (value: string | number) => (/[",\r\n]/.test(String(value)) ? `"${String(value).replaceAll('"', '""')}"` : String(value));
	const names = figureNames(report);
	const lines = [
		["trace", ...report.grid.map(({ name }) => name), ...names],
		...report.rows.map(({ trace, point, figures }) => [trace, ...report.grid.map(({ name }) => point[name]), ...names.map((name) => figures[name])]),
	];
	return `${lines.map((line) => line.map(cell).join(",")).join("\n")}\n`;
}

/** Figures that are ratios; the others are counts. */
const RATIOS = new Set(["hit_rate", "references_per_dma"]);

async function parquet(report: SweepReport): Promise<Uint8Array> {
	const { parquetWriteBuffer } = await optional<typeof import("hyparquet-writer")>("hyparquet-writer", "Parquet", "hyparquet hyparquet-writer");
	const { rows } = report;
	const text = (name: string, of: (row: SweepRow) => string) => ({ name, type: "STRING" as const, nullable: false, data: rows.map(of) });
	const columnData = [
		text("trace", ({ trace }) => trace),
		...report.grid.map(({ name }) => text(name, ({ point }) => point[name])),
		...figureNames(report).map((name) =>
			RATIOS.has(name)
				? { name, type: "DOUBLE" as const, nullable: false, data: rows.map(({ figures }) => figures[name]) }
				: { name, type: "INT64" as const, nullable: false, data: rows.map(({ figures }) => BigInt(figures[name])) },
		),
	];
	return new Uint8Array(parquetWriteBuffer({ columnData, createdBy: "ioasid" }));
}

const encoders: Record<string, (report: SweepReport) => Promise<Uint8Array>> = {
	".csv": async (report) => new TextEncoder().encode(csv(report)),
	".json": async (report) => new TextEncoder().encode(`${JSON.stringify(report)}\n`),
	".parquet": parquet,
};

/** How `path` is written; the name decides. @throws InvalidArgumentError */
function encoderOf(path: string): (report: SweepReport) => Promise<Uint8Array> {
	const extension = Object.keys(encoders).find((one) => path.toLowerCase().endsWith(one));
	if (extension === undefined) throw new InvalidArgumentError(`${path}: results are written as ${Object.keys(encoders).join(", ")}`);
	return encoders[extension];
}

/** For commander: one more output, whose name must say a format. */
export function outputOption(path: string, before: string[] = []): string[] {
	encoderOf(path);
	return [...before, path];
}

/** Writes every output. */
export async function writeResults(report: SweepReport, outputs: readonly string[]): Promise<void> {
	for (const path of outputs) {
		const bytes = await encoderOf(path)(report);
		await writeOutput(
			path,
			(async function* () {
				yield bytes;
			})(),
		);
	}
}

/** For people. */
export function renderSweep(report: SweepReport): string {
	const axes = report.grid.map(({ name }) => name);
	return table(
		["trace", ...axes, "DMAs", "hit rate", "refs/DMA", "stale", "disagree"],
		report.rows.map(({ trace, point, figures: f }) => [
			trace,
			...axes.map((name) => point[name]),
			number(f.dma),
			percent(f.iotlb_hits, f.iotlb_hits + f.iotlb_misses),
			f.references_per_dma.toFixed(2),
			number(f.stale),
			number(f.wrong_address + f.unexplained),
		]),
		[false, ...axes.map(() => false), true, true, true, true, true],
	);
}
