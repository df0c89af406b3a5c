/** A plot: uPlot with the page's colours, the width of its place, and keys. */
import uPlot from "uplot";
import { element } from "./dom.ts";
import { colour, onTheme, seriesColour, seriesDash } from "./theme.ts";

export interface Line {
	label: string;
	/** null where there is nothing to draw */
	values: Array<number | null>;
	/** what the legend shows of a point; default the value */
	text?: (index: number) => string;
	/** bars instead of a line */
	bars?: boolean;
	/** number of the colour; default its place among the lines */
	tone?: number;
}

export interface PlotOptions {
	/** unique on the page */
	name: string;
	/** for people who do not see it */
	label: string;
	x: number[];
	lines: Line[];
	xText: (value: number) => string;
	yText: (value: number) => string;
	/** labels of x 0, 1, 2 ... instead of a scale */
	categories?: string[];
	/** base of a logarithmic x scale */
	logX?: 2 | 10;
	/** steps instead of slopes between points */
	stepped?: boolean;
	yRange?: [number, number];
	height?: number;
	/** plots of one group share the cursor */
	sync?: string;
	/** after everything is drawn */
	draw?: (u: uPlot) => void;
	/** the cursor moved */
	moved?: (u: uPlot) => void;
	/** y is a scale of rows: arrows up and down move too */
	rows?: { count: number; text: (row: number) => string };
}

const FONT = "12px system-ui, sans-serif";
const SMALL = 480;

/** The plot in a figure; it is as wide as the figure. */
export function plot(options: PlotOptions): HTMLElement {
	const place = element("div", { tabindex: "0", role: "group", "aria-label": `${options.label}. Arrow keys move the cursor, plus and minus zoom, Escape shows all.` });
	const figure = element("figure", { "data-plot": options.name }, place);
	let drawn: uPlot | null = null;
	const width = () => Math.max(240, Math.floor(figure.clientWidth));
	// the width is known once the figure is in the page
	const observer = new ResizeObserver(() => {
		if (figure.clientWidth === 0) return;
		if (drawn === null) {
			drawn = new uPlot(settings(options, width()), [options.x, ...options.lines.map(({ values }) => values)], place);
			keys(place, drawn, options);
			legendKeys(place);
			figure.dataset.points = String(options.lines.reduce((sum, { values }) => sum + values.filter((value) => value !== null).length, 0));
		} else if (drawn.width !== width()) drawn.setSize({ width: width(), height: drawn.height });
	});
	observer.observe(figure);
	onTheme(() => drawn?.redraw(false, true));
	return figure;
}

function settings(options: PlotOptions, width: number): uPlot.Options {
	const { categories, lines, rows } = options;
	const small = width < SMALL;
	const axis = (): uPlot.Axis => ({ font: FONT, stroke: () => colour("--quiet"), grid: { stroke: () => colour("--line"), width: 1 }, ticks: { stroke: () => colour("--line"), width: 1 } });
	const longest = Math.max(0, ...(categories ?? []).map(({ length }) => length));
	const slanted = categories !== undefined && longest * 7 * categories.length > width - 80;
	return {
		width,
		height: options.height ?? (small ? 240 : 320),
		scales: {
			x: { time: false, ...(options.logX ? { distr: 3 as const, log: options.logX } : {}), ...(categories ? { range: [-0.6, categories.length - 0.4] as [number, number] } : {}) },
			y: options.yRange ? { range: options.yRange } : { range: (_, __, most) => [0, most > 0 ? most * 1.05 : 1] },
		},
		axes: [
			{
				...axis(),
				...(categories
					? {
							splits: () => categories.map((_, index) => index),
							values: (_: uPlot, splits: number[]) => splits.map((split) => categories[split] ?? ""),
							grid: { show: false },
							...(slanted ? { rotate: -90, size: 20 + 7 * longest } : {}),
						}
					: { values: (_: uPlot, splits: number[]) => splits.map((split) => (split === null ? "" : options.xText(split))), space: 70 }),
			},
			{
				...axis(),
				size: rows ? (small ? 84 : 100) : 64,
				...(rows
					? { splits: () => rowSplits(rows.count), values: (_: uPlot, splits: number[]) => splits.map(rows.text), grid: { show: false } }
					: { values: (_: uPlot, splits: number[]) => splits.map(options.yText) }),
			},
		],
		series: [
			{ label: "at", value: (_, value) => (value === null || value === undefined ? "-" : (categories?.[value] ?? options.xText(value))) },
			...lines.map((line, index) => series(line, index, options)),
		],
		legend: { show: !rows },
		cursor: {
			...(options.sync ? { sync: { key: options.sync, scales: ["x", null] as [string, null] } } : {}),
			drag: { x: categories === undefined, y: false },
			points: { size: 6 },
		},
		hooks: {
			draw: options.draw ? [options.draw] : [],
			setCursor: options.moved ? [options.moved] : [],
		},
	};
}

function series(line: Line, index: number, options: PlotOptions): uPlot.Series {
	const tone = line.tone ?? index;
	const { bars } = uPlot.paths;
	return {
		label: line.label,
		stroke: () => seriesColour(tone),
		width: 1.5,
		dash: seriesDash(tone),
		value: (_, value, __, at) => (at === null || value === null ? "-" : (line.text?.(at) ?? options.yText(value))),
		...(line.bars ? { fill: () => seriesColour(tone), width: 0, paths: bars?.({ size: [0.8, 80] }), points: { show: false } } : {}),
		...(options.stepped && !line.bars ? { paths: steps, points: { show: false } } : {}),
	};
}

/** Each value holds until the next x; the last as long as the one before. Nothing crosses a gap. */
function steps(u: uPlot, seriesIndex: number, from: number, to: number): uPlot.Series.Paths {
	const stroke = new Path2D();
	const x = u.data[0];
	const y = u.data[seriesIndex];
	const across = (value: number) => Math.round(u.valToPos(value, "x", true));
	const up = (value: number) => Math.round(u.valToPos(value, "y", true));
	let open = false;
	for (let i = from; i <= to; i++) {
		const value = y[i];
		if (value === null || value === undefined) {
			open = false;
			continue;
		}
		if (open) stroke.lineTo(across(x[i]), up(value));
		else stroke.moveTo(across(x[i]), up(value));
		const end = x[i + 1] ?? (i > 0 ? 2 * x[i] - x[i - 1] : x[i]);
		stroke.lineTo(Math.max(across(end), across(x[i]) + 1), up(value));
		open = true;
	}
	return { stroke };
}

function rowSplits(count: number): number[] {
	const step = Math.max(1, Math.ceil(count / 12));
	return Array.from({ length: Math.ceil(count / step) }, (_, i) => i * step);
}

function keys(place: HTMLElement, u: uPlot, { rows, categories }: PlotOptions): void {
	const x = u.data[0] as number[];
	const go = (index: number, top = u.cursor.top ?? -1) => {
		const at = Math.max(0, Math.min(x.length - 1, index));
		u.setCursor({ left: u.valToPos(x[at], "x"), top: top < 0 ? u.over.clientHeight / 2 : Math.max(0, Math.min(u.over.clientHeight - 1, top)) });
	};
	const zoom = (factor: number) => {
		if (categories || x.length < 2) return;
		const [low, high] = [u.valToIdx(u.scales.x.min as number), u.valToIdx(u.scales.x.max as number)];
		const middle = u.cursor.idx ?? (low + high) >> 1;
		const half = Math.max(2, ((high - low) * factor) / 2);
		u.setScale("x", { min: x[Math.max(0, Math.floor(middle - half))], max: x[Math.min(x.length - 1, Math.ceil(middle + half))] });
	};
	const all = () => u.setScale("x", { min: x[0], max: x[x.length - 1] });
	place.addEventListener("keydown", (event) => {
		if (event.target !== place || event.ctrlKey || event.altKey || event.metaKey) return;
		const stride = event.shiftKey ? 10 : 1;
		const here = u.cursor.idx ?? 0;
		const rowHeight = rows ? u.over.clientHeight / rows.count : 0;
		const actions: Record<string, () => void> = {
			ArrowLeft: () => go(here - stride),
			ArrowRight: () => go((u.cursor.idx ?? -1) + stride),
			Home: () => go(0),
			End: () => go(x.length - 1),
			"+": () => zoom(0.5),
			"=": () => zoom(0.5),
			"-": () => zoom(2),
			Escape: categories ? () => {} : all,
			...(rows ? { ArrowUp: () => go(here, (u.cursor.top ?? 0) - stride * rowHeight), ArrowDown: () => go(here, (u.cursor.top ?? 0) + stride * rowHeight) } : {}),
		};
		const action = actions[event.key];
		if (action === undefined) return;
		event.preventDefault();
		action();
	});
}

/** Series are shown and hidden by keys as by clicks. */
function legendKeys(place: HTMLElement): void {
	place.querySelectorAll<HTMLElement>(".u-series:not(:first-child) th").forEach((head) => {
		head.tabIndex = 0;
		head.setAttribute("role", "button");
		head.addEventListener("keydown", (event) => {
			if (event.key !== "Enter" && event.key !== " ") return;
			event.preventDefault();
			head.click();
		});
	});
}
