/** The page of a sweep: plots along each axis that varies, and a table of all runs. */
import { type ComparisonData, comparedLines } from "../compare.ts";
import { element, percent, roundPercent, tableElement, whole } from "./dom.ts";
import { plot } from "./plot.ts";
import { startTheme } from "./theme.ts";

/** Lines of a plot, at most; the table has them all. */
const LINES = 24;

const byId = (id: string) => document.getElementById(id) as HTMLElement;
const data = JSON.parse(byId("data").textContent ?? "") as ComparisonData;

function plots(): Node[] {
	const varying = data.axes.map((_, i) => i).filter((i) => data.axes[i].values.length > 1);
	return (varying.length === 0 ? [0] : varying).flatMap((axis) => {
		const { name, values } = data.axes[axis];
		return data.plotted.flatMap(({ figure, label, ratio }) => {
			const lines = comparedLines(data, axis, figure);
			const text = ratio ? percent : (value: number | null) => (value === null ? "-" : value.toFixed(3));
			const left = lines.length > LINES ? [element("p", { class: "quiet" }, `The first ${LINES} of ${lines.length} lines.`)] : [];
			return [
				element("h3", {}, `${label} by ${name}`),
				plot({
					name: `${figure}-${name}`,
					label: `${label} by ${name}`,
					x: values.map((_, i) => i),
					categories: values,
					lines: lines.slice(0, LINES).map((line) => ({ ...line, text: (i) => text(line.values[i]) })),
					xText: (value) => values[value] ?? "",
					yText: ratio ? roundPercent : (value) => String(value),
					...(ratio ? { yRange: [0, 1.02] as [number, number] } : {}),
				}),
				...left,
			];
		});
	});
}

function table(): Node {
	const ratios = new Set(data.plotted.filter(({ ratio }) => ratio).map(({ figure }) => figure));
	const shown = (value: number, i: number) => (ratios.has(data.figures[i]) ? percent(value) : Number.isInteger(value) ? whole(value) : value.toFixed(3));
	return tableElement(
		{
			head: [...data.axes.map(({ name }) => name), ...data.figures.map((name) => name.replaceAll("_", " "))],
			text: data.axes.map((_, i) => i),
			rows: () => data.rows.map(({ point, values }) => [...point, ...values.map(shown)]),
		},
		"Results",
	);
}

startTheme(byId("theme") as HTMLButtonElement);
const links = element("ul");
for (const [id, title, content] of [
	["comparison", "Comparison", plots()],
	["results", "Results", [table()]],
] as const) {
	links.append(element("li", {}, element("a", { href: `#${id}` }, title)));
	byId("main").append(element("section", { id, "aria-label": title }, element("h2", {}, title), ...content));
}
byId("sections").append(links);
