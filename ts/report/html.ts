/** A report as one HTML file: no network, no other file. */
import type { ReportData } from "./data.ts";
import { licence, script, style } from "./page.generated.ts";

const ENTITIES: Record<string, string> = { "&": "&amp;", "<": "&lt;", ">": "&gt;", '"': "&quot;", "'": "&#39;" };
const escaped = (text: string) => text.replace(/[&<>"']/g, (character) => ENTITIES[character]);
const list = (pairs: ReadonlyArray<readonly [string, string]>) => `<dl>${pairs.map(([name, value]) => `<dt>${escaped(name)}</dt><dd>${escaped(value)}</dd>`).join("")}</dl>`;
const items = (lines: readonly string[]) => `<ul>${lines.map((line) => `<li>${escaped(line)}</li>`).join("")}</ul>`;

/** Numbers of a column need no more digits than a screen has. */
const thin = (_: string, value: unknown) => (typeof value === "number" && !Number.isInteger(value) ? Number(value.toPrecision(12)) : value);

/** The page. Text of traces is data in it and never markup. */
export function renderReport(data: ReportData): string {
	const { trace, machine, recorded, date, version } = data.heading;
	const title = [trace, machine, date ?? "date unknown", `ioasid ${version}`].join(" - ");
	// "<" would end the element or open a comment in it
	const json = JSON.stringify(data, thin).replaceAll("<", "\\u003c");
	return `<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<meta http-equiv="Content-Security-Policy" content="default-src 'none'; script-src 'unsafe-inline'; style-src 'unsafe-inline'; img-src data:">
<link rel="icon" href="data:,">
<title>${escaped(title)}</title>
<style>${style}</style>
</head>
<body>
<header><h1>${escaped(trace)}</h1><button id="theme" type="button">Dark</button></header>
${list([["replayed on", machine], ["recorded on", recorded], ["date", date ?? "the trace does not say"], ["by", `ioasid ${version}`]])}
<nav id="sections" aria-label="Sections"></nav>
<main id="main">
<section id="summary" aria-label="Summary"><h2>Summary</h2>${list(data.facts)}${data.notes.length > 0 ? `<h3>Notes</h3>${items(data.notes)}` : ""}</section>
<noscript><p>The plots and tables need JavaScript; it is in this file and asks nothing of the network.</p></noscript>
</main>
<footer><h2>How the series were thinned</h2>${items(data.rules)}
<details><summary>Licence of the plotting library</summary><pre>${escaped(licence)}</pre></details></footer>
<script type="application/json" id="data">${json}</script>
<script>${script}</script>
</body>
</html>
`;
}
