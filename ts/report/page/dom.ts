/** Elements and numbers as text. */

/** An element with its attributes and content. */
export function element<Name extends keyof HTMLElementTagNameMap>(name: Name, attributes: Record<string, string> = {}, ...content: Array<Node | string>): HTMLElementTagNameMap[Name] {
	const made = document.createElement(name);
	for (const [key, value] of Object.entries(attributes)) made.setAttribute(key, value);
	made.append(...content);
	return made;
}

export const whole = (n: number): string => n.toLocaleString("en-US");
export const percent = (ratio: number | null): string => (ratio === null || Number.isNaN(ratio) ? "-" : `${(100 * ratio).toFixed(2)}%`);

export const roundPercent = (ratio: number): string => `${Number((100 * ratio).toFixed(1))}%`;

/** Microseconds as a length of time. */
export function duration(microseconds: number): string {
	if (microseconds >= 1e6) return `${Number((microseconds / 1e6).toPrecision(4))} s`;
	return microseconds >= 1e3 ? `${Number((microseconds / 1e3).toPrecision(4))} ms` : `${Number(microseconds.toPrecision(4))} us`;
}

/** Microseconds as a moment of the run, in seconds. */
export const moment = (microseconds: number): string => `${(microseconds / 1e6).toFixed(6)} s`;

/** Bytes in the largest binary unit that divides well. */
export function bytes(n: number): string {
	const units = ["B", "KiB", "MiB", "GiB", "TiB", "PiB", "EiB"];
	let unit = 0;
	while (n >= 1024 && unit < units.length - 1) {
		n /= 1024;
		unit++;
	}
	return `${Number(n.toPrecision(4))} ${units[unit]}`;
}

export interface Table {
	head: string[];
	/** columns of text; others are numbers, to the right */
	text: number[];
	rows: () => string[][];
}

/** A table that can be scrolled, by keys too. */
export function tableElement({ head, text, rows }: Table, label: string): HTMLElement {
	const cell = (name: "th" | "td", value: string, column: number) => element(name, { ...(text.includes(column) ? { class: "text" } : {}), ...(name === "th" ? { scope: "col" } : {}) }, value);
	const table = element(
		"table",
		{ class: "numbers" },
		element("thead", {}, element("tr", {}, ...head.map((value, column) => cell("th", value, column)))),
		element("tbody", {}, ...rows().map((values) => element("tr", {}, ...values.map((value, column) => cell("td", value, column))))),
	);
	return element("div", { class: "wide", tabindex: "0", role: "region", "aria-label": label }, table);
}

/** A table that is made when it is opened. */
export function numbers(table: Table, label: string): HTMLElement {
	const details = element("details", {}, element("summary", {}, `Table: ${label}`));
	details.addEventListener("toggle", () => {
		if (details.open && details.childElementCount === 1) details.append(tableElement(table, label));
	});
	return details;
}
