/** The registry: one line per format. */
import { arrow } from "./arrow.ts";
import type { Exporter } from "./contract.ts";
import { mergedCsv } from "./merged-csv.ts";
import { parquet } from "./parquet.ts";
import { traceFile } from "./trace-file.ts";

/** Every format that can be written. */
export const exporters: readonly Exporter[] = [traceFile, mergedCsv, arrow, parquet];

/** The format that a file name asks for; null when none does. */
export function exporterFor(path: string): Exporter | null {
	const name = path.toLowerCase().replace(/\.gz$/, "");
	return exporters.find(({ extensions }) => extensions.some((extension) => name.endsWith(extension))) ?? null;
}
