/** The page of a report: sections out of the data in it. */
import type { ReportData } from "../data.ts";
import { addressMaps } from "./address-map.ts";
import { duration, element, moment, numbers, tableElement, whole } from "./dom.ts";
import { histogram, lifeTimes, missRatio, perDevice } from "./figures.ts";
import { startTheme } from "./theme.ts";
import { activity, faultsOverTime, hitRate, levels } from "./time.ts";

const byId = (id: string) => document.getElementById(id) as HTMLElement;

const data = JSON.parse(byId("data").textContent ?? "") as ReportData;

function faults(): Node[] {
	const { faults, history } = data;
	const access = (write: boolean) => (write ? "write" : "read");
	const out: Node[] = [];
	if (faults.total > 0) {
		const { kinds, list, devices } = faults;
		const name = (device: number) => devices[device] ?? "others";
		out.push(
			...faultsOverTime(data),
			tableElement(
				{
					head: ["device", "reason", "access", "faults", "as recorded", "first", "last", "first address"],
					text: [0, 2, 7],
					rows: () => kinds.map((kind) => [name(kind.device), String(kind.reason), access(kind.write), whole(kind.count), whole(kind.matched), moment(kind.first), moment(kind.last), kind.address]),
				},
				"Kinds of faults",
			),
			numbers(
				{
					head: ["at", "device", "address", "access", "reason", "as recorded"],
					text: [1, 2, 3, 5],
					rows: () => list.time.map((at, i) => [moment(at), name(list.device[i]), list.address[i], access(list.write[i]), String(list.reason[i]), list.matched[i] ? "yes" : "no"]),
				},
				list.time.length < faults.total ? `the first ${whole(list.time.length)} faults` : "faults",
			),
		);
	} else out.push(element("p", {}, "The replay raised no fault."));
	if (history === null || history.stories.length === 0) return out;
	const causes = Object.entries(history.byCause).filter(([, count]) => count > 0);
	out.push(
		element("h3", {}, "Why"),
		element("p", { class: "quiet" }, "Recorded faults, and DMAs that the recorded maps do not explain, held against the history of their page."),
		tableElement({ head: ["cause", "accesses"], text: [0], rows: () => causes.map(([cause, count]) => [cause, whole(count)]) }, "Causes"),
		numbers({ head: ["page", "device", "accesses", "first cause"], text: [0, 1, 3], rows: () => history.pages.map(({ page, device, count, cause }) => [page, device, whole(count), cause]) }, "pages with most of them"),
		numbers({ head: ["at", "device", "address", "access", "history of the page"], text: [1, 2, 3, 4], rows: () => history.stories.map(([at, ...rest]) => [moment(at), ...rest]) }, `the first ${whole(history.stories.length)} of them with the history of their page`),
	);
	if (history.afterUnmap.counts.length > 0) out.push(...histogram("after-unmap", "Uses after unmap, by how long after", "uses", history.afterUnmap, 6));
	return out;
}

interface Section {
	id: string;
	title: string;
	about: string;
	/** null: the replay had nothing for it */
	content: (() => Node[]) | null;
}

const { curves, history } = data;
const hasDmas = data.devices.some(({ dma }) => dma > 0);

const sections: Section[] = [
	{
		id: "miss-ratio",
		title: "Miss-ratio curve",
		about: "Misses of a fully associative LRU IOTLB of every size, devices sharing it.",
		content: curves === null ? null : () => [...missRatio(curves), ...curves.notes.map((note) => element("p", { class: "quiet" }, note))],
	},
	{ id: "hit-rate", title: "Hit rate over time", about: `Windows of ${duration(data.time.width)}. A gap is a window without DMAs.`, content: hasDmas ? () => hitRate(data) : null },
	{ id: "activity", title: "Events over time", about: "DMAs, maps, unmaps and invalidations of each window.", content: data.time.windows > 0 ? () => activity(data) : null },
	{ id: "devices", title: "Devices", about: "DMAs by how the IOTLB answered them.", content: data.devices.length === 0 ? null : () => perDevice(data) },
	{
		id: "address-map",
		title: "Address space",
		about: "Pale: mapped. Strong: DMAs, the stronger the more. Red: faults. A line: addresses are left out.",
		content: data.addressMaps.length === 0 ? null : () => addressMaps(data),
	},
	{ id: "life-times", title: "Life times of maps", about: "From a map to the unmap that takes its last page away.", content: history === null || history.maps.ended === 0 ? null : () => [...lifeTimes(history), ...history.notes.map((note) => element("p", { class: "quiet" }, note))] },
	{ id: "levels", title: "Walk references by level", about: "Memory references of page walks. Level 0 of a stage holds the smallest leaves.", content: data.levels.levels.length > 0 ? () => levels(data) : null },
	{ id: "faults", title: "Faults", about: "DMAs that the replay refused.", content: faults },
];

startTheme(byId("theme") as HTMLButtonElement);
const main = byId("main");
const links = element("ul");
for (const { id, title, about, content } of sections) {
	links.append(element("li", {}, element("a", { href: `#${id}` }, title)));
	const body = content === null ? [element("p", {}, "Nothing of it in this replay.")] : [element("p", { class: "quiet" }, about), ...content()];
	main.append(element("section", { id, "aria-label": title }, element("h2", {}, title), ...body));
}
byId("sections").append(links);
