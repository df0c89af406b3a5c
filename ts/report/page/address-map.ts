/** What a device mapped and touched: a plot of cells, one row for each granule of addresses. */
import type uPlot from "uplot";
import type { AddressMapData, ReportData } from "../data.ts";
import { bytes, duration, element, moment, numbers, percent, whole } from "./dom.ts";
import { plot } from "./plot.ts";
import { colour } from "./theme.ts";

const MAPPED = 1;
const FAULT = 2;

export function addressMaps(data: ReportData): Node[] {
	const { addressMaps } = data;
	const place = element("div");
	const show = (index: number) => place.replaceChildren(...addressMap(addressMaps[index], data.time.start));
	show(0);
	if (addressMaps.length === 1) return [element("h3", {}, addressMaps[0].device), place];
	const choice = element("select", { id: "map-device" }, ...addressMaps.map(({ device }, index) => element("option", { value: String(index) }, device)));
	choice.addEventListener("change", () => show(Number(choice.value)));
	return [element("label", { for: "map-device" }, "Device "), choice, place];
}

function addressMap(map: AddressMapData, start: number): Node[] {
	const { rows, columns, width, granule, device, touched, states } = map;
	const readout = element("output", { "aria-live": "polite" });
	const x = Array.from({ length: columns }, (_, i) => (start + (i + 0.5) * width) / 1e6);
	const most = Math.max(1, ...touched.flatMap((row) => [...row].map((digit) => Number.parseInt(digit, 36))));
	const figure = plot({
		name: "address-map",
		label: `Addresses that ${device} mapped and touched over time, ${rows.length} rows of ${bytes(granule)}`,
		x,
		// what is drawn are the cells; this line carries the cursor
		lines: [{ label: device, values: x.map(() => null) }],
		xText: (value) => `${Number(value.toFixed(6))} s`,
		yText: String,
		yRange: [0, rows.length],
		rows: { count: rows.length, text: (row) => rows[row] ?? "" },
		height: Math.max(220, Math.min(640, 40 + 5 * rows.length)),
		draw: (u) => drawCells(u, map, most, start),
		moved: (u) => {
			const column = u.cursor.idx;
			const row = Math.floor(u.posToVal(u.cursor.top ?? -1, "y"));
			if (column === null || column === undefined || row < 0 || row >= rows.length || (u.cursor.top ?? -1) < 0) return;
			const level = Number.parseInt(touched[row][column], 36);
			const state = Number(states[row][column]);
			const dmas = level === 0 ? "no DMA" : level === 1 ? "1 DMA" : `${whole(2 ** (level - 1))} DMAs and more`;
			readout.textContent = `${moment(start + column * width)}, ${rows[row]}: ${state & MAPPED ? "mapped" : "not mapped"}, ${dmas}${state & FAULT ? ", faulted" : ""}`;
		},
	});
	const cells = states.reduce((sum, row, i) => sum + [...row].filter((state, column) => state !== "0" || touched[i][column] !== "0").length, 0);
	figure.dataset.cells = String(cells);
	const count = (row: string, bit: number) => [...row].filter((state) => Number(state) & bit).length;
	return [
		figure,
		readout,
		numbers(
			{
				head: ["address", "DMAs", "of the time mapped", `columns of ${duration(width)} with faults`],
				text: [0],
				rows: () => rows.map((address, row) => [address, whole(map.dmas[row]), percent(count(states[row], MAPPED) / columns), whole(count(states[row], FAULT))]),
			},
			`addresses of ${device}`,
		),
	];
}

function drawCells(u: uPlot, { rows, columns, width, granule, touched, states }: AddressMapData, most: number, start: number): void {
	const { ctx, bbox } = u;
	ctx.save();
	ctx.beginPath();
	ctx.rect(bbox.left, bbox.top, bbox.width, bbox.height);
	ctx.clip();
	const [mapped, touch, fault, line] = ["--mapped", "--touch", "--fault", "--quiet"].map(colour);
	const edge = Array.from({ length: columns + 1 }, (_, column) => Math.round(u.valToPos((start + column * width) / 1e6, "x", true)));
	for (let row = 0; row < rows.length; row++) {
		const top = Math.round(u.valToPos(row + 1, "y", true));
		const height = Math.max(1, Math.round(u.valToPos(row, "y", true)) - top);
		for (let column = 0; column < columns; column++) {
			const level = Number.parseInt(touched[row][column], 36);
			const state = Number(states[row][column]);
			if (level === 0 && state === 0) continue;
			const [left, cell] = [edge[column], Math.max(1, edge[column + 1] - edge[column])];
			if (state & MAPPED) {
				ctx.fillStyle = mapped;
				ctx.fillRect(left, top, cell, height);
			}
			if (level > 0) {
				ctx.globalAlpha = state & FAULT ? 1 : 0.3 + (0.7 * level) / most;
				ctx.fillStyle = state & FAULT ? fault : touch;
				ctx.fillRect(left, top, cell, height);
				ctx.globalAlpha = 1;
			}
		}
		// where the next row is not the next granule, addresses are left out
		if (row > 0 && BigInt(rows[row]) !== BigInt(rows[row - 1]) + BigInt(granule)) {
			ctx.fillStyle = line;
			ctx.fillRect(bbox.left, top + height, bbox.width, 1);
		}
	}
	ctx.restore();
}
