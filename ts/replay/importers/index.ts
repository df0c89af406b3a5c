/**
 * The registry: one line per format. To add one, write its file and put it into the list.
 */
import { ReplayError } from "../errors.ts";
import { traceFile } from "../file/index.ts";
import { arrow } from "./arrow.ts";
import type { Importer } from "./contract.ts";
import { ftrace } from "./ftrace.ts";
import { kernelLog } from "./kernel-log.ts";
import { mergedCsv } from "./merged-csv.ts";
import { packetList } from "./packet-list.ts";
import { parquet } from "./parquet.ts";
import { perfScript } from "./perf-script.ts";
import { qemuSmmuv3 } from "./qemu-smmuv3.ts";
import { qemuVtd } from "./qemu-vtd.ts";
import { simulatorCsv } from "./simulator-csv.ts";
import { traceCmd } from "./trace-cmd.ts";

/** Every format that can be imported. */
export const importers: readonly Importer[] = [traceFile, arrow, parquet, mergedCsv, qemuVtd, qemuSmmuv3, traceCmd, ftrace, perfScript, kernelLog, simulatorCsv, packetList];

/** Below this share of fitting lines, a format is not taken to be recognised. */
const LEAST = 0.1;

/** The importer whose format `head`, the start of the file, fits best. */
export function recognise(head: string, file: string): Importer {
	let best: Importer | null = null;
	let score = LEAST;
	for (const importer of importers) {
		const fit = importer.recognise(head);
		if (fit > score) {
			best = importer;
			score = fit;
		}
	}
	if (best !== null) return best;
	const known = importers.map(({ title }) => title).join(", ");
	throw new ReplayError("unrecognised", head === "" ? `${file}: the file is empty` : `${file}: not a format that can be imported (${known})`, file);
}
