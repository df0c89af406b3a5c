/** Address maps as strings of cells. */
import { pageAddress } from "../replay/history/words.ts";
import type { AddressMap } from "./address-map.ts";
import type { AddressMapData } from "./data.ts";
import type { Windows } from "./windows.ts";

/** Columns of a map on a page, at most: half the windows. */
export const MAP_COLUMNS = 256;

/** A device's map for the page; nothing when the device mapped and touched nothing. */
export function addressMapData(device: string, map: AddressMap, windows: Windows): AddressMapData[] {
	const rows = map.finish();
	if (rows.length === 0) return [];
	const per = Math.max(1, Math.ceil(windows.length / MAP_COLUMNS));
	const columns = Math.ceil(windows.length / per);
	const cells = (cell: (from: number, to: number) => string) => Array.from({ length: columns }, (_, i) => cell(i * per, Math.min((i + 1) * per, windows.length))).join("");
	return [
		{
			device,
			granule: map.granule * 4096,
			rows: rows.map(({ page }) => pageAddress(page)),
			width: windows.width * per,
			columns,
			dmas: rows.map(({ touched }) => sum(touched)),
			touched: rows.map(({ touched }) => cells((from, to) => digit(sum(touched.subarray(from, to))))),
			states: rows.map(({ states }) => cells((from, to) => String(states.subarray(from, to).reduce((a, b) => a | b, 0)))),
		},
	];
}

const sum = (counts: Uint32Array) => counts.reduce((a, b) => a + b, 0);

/** 1 + floor(log2(n)) in base 36, 0 for none. */
const digit = (n: number) => (n === 0 ? 0 : Math.min(35, 1 + Math.floor(Math.log2(n)))).toString(36);
