// Bundles the page's script with uPlot into ts/report/page.generated.ts, so that a report is one file made of strings.
import { readFileSync, writeFileSync } from "node:fs";
import { fileURLToPath } from "node:url";
import { build } from "vite";

const here = (name) => fileURLToPath(new URL(name, import.meta.url));
const library = (name) => readFileSync(fileURLToPath(new URL(name, import.meta.resolve("uplot"))), "utf8");

const [{ output }] = await build({
	configFile: false,
	logLevel: "warn",
	publicDir: false,
	build: { write: false, target: "es2022", lib: { entry: here("main.ts"), formats: ["iife"], name: "report" } },
});
const { version } = JSON.parse(library("../package.json"));
const strings = {
	// the text stands in a script element, which this would end
	script: output[0].code.trim().replaceAll("</script", "<\\/script"),
	style: `${library("uPlot.min.css")}\n${readFileSync(here("style.css"), "utf8")}`,
	licence: `uPlot ${version}\n\n${library("../LICENSE")}`,
};
const lines = Object.entries(strings).map(([name, text]) => `export const ${name}: string = ${JSON.stringify(text)};\n`);
writeFileSync(here("../page.generated.ts"), `// Written by ts/report/page/build.mjs.\n${lines.join("")}`);
