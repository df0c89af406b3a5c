/** Joined CSV, as ../importers/merged-csv.ts reads it, with the fields that make it lose nothing. */
import type { TraceHead } from "../head.ts";
import { dictionaryText } from "../columnar.ts";
import { hexAt } from "../history/words.ts";
import { Access, type Columns, Kind, NO_DEVICE, NO_PASID, Scope, Verdict } from "../trace.ts";
import type { Exporter } from "./contract.ts";

const KINDS: Record<number, string> = { [Kind.dma]: "dma", [Kind.map]: "map", [Kind.unmap]: "unmap", [Kind.invalidate]: "inv", [Kind.fault]: "fault" };
const VERDICTS: Record<number, string> = { [Verdict.none]: "", [Verdict.hit]: "hit", [Verdict.miss]: "miss" };
const SCOPES: Record<number, string> = { [Scope.global]: "global", [Scope.domain]: "domain", [Scope.page]: "page", [Scope.device]: "device", [Scope.pasid]: "pasid", [Scope.pasidPage]: "pasid-page" };
const PERMISSIONS: Record<number, string> = { [Access.read]: "r", [Access.read | Access.write]: "rw" };

/** Lines of one piece of output. */
const PIECE = 4096;

export const mergedCsv: Exporter = {
	name: "merged-csv",
	title: "joined CSV",
	extensions: [".csv"],
	async *encode({ head, chunks }) {
		const encoder = new TextEncoder();
		yield encoder.encode(`t_us,kind,id,iova,size,pa,info\n# ioasid ${dictionaryText(head)}\n`);
		for await (const columns of chunks()) {
			for (let from = 0; from < columns.length; from += PIECE) {
				let text = "";
				for (let row = from; row < Math.min(from + PIECE, columns.length); row++) text += line(head, columns, row);
				yield encoder.encode(text);
			}
		}
	},
};

function line({ devices }: TraceHead, columns: Columns, row: number): string {
	const kind = columns.kind[row];
	const id = columns.id[row];
	const rid = kind === Kind.invalidate ? id : id === NO_DEVICE ? -1 : devices[id].segment * 0x10000 + devices[id].rid;
	const size = columns.size[2 * row + 1] === 0 ? columns.size[2 * row] : BigInt(hexAt(columns.size, row));
	const pasid = columns.pasid[row] === NO_PASID ? "" : `;pasid=${columns.pasid[row]}`;
	return `${decimal(columns.time[row])},${KINDS[kind]},${rid},${hexAt(columns.iova, row)},${size},${hexAt(columns.pa, row)},${info(kind, columns.flags[row], columns.verdict[row])}${pasid}\n`;
}

function info(kind: number, flags: number, verdict: number): string {
	if (kind === Kind.invalidate) return SCOPES[flags];
	if (kind === Kind.map) return PERMISSIONS[flags] ?? `flags=${flags}`;
	if (kind === Kind.unmap) return "";
	if (kind === Kind.dma) return `${VERDICTS[verdict]}${flags === Access.any ? "" : `;flags=${flags}`}`;
	return flags === Access.read ? "r" : flags === Access.write ? "w" : `flags=${flags}`;
}

/** Without an exponent, which small times would get. */
function decimal(time: number): string {
	const text = String(time);
	return text.includes("e") ? time.toFixed(30).replace(/0+$/, "") : text;
}
