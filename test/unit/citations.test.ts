/**
 * Every constant of the formats and the device tables is cited: its section stands on its own line, or in a comment of
 * its block (the lines without an empty one between). What no specification gives is called the engine's own.
 */
import { readdirSync, readFileSync } from "node:fs";
import { fileURLToPath } from "node:url";
import { describe, expect, test } from "vitest";

const folder = (name: string) => fileURLToPath(new URL(`../../assembly/${name}`, import.meta.url));
const CITED = /\b(?:[A-Z]?\d+\.\d+(?:\.\d+)*)\b|engine's own|\bOur own\b|\[PRIV|\bLoPAR\b|\bIODA\d\b/;

function uncited(source: string): string[] {
	const found: string[] = [];
	let cited = false;
	for (const line of source.split("\n")) {
		if (line.trim() === "") cited = false;
		else if (/^\s*(?:\/\/|\/?\*)/.test(line)) cited ||= CITED.test(line);
		else {
			const name = /^(?:export )?const (\w+)/.exec(line)?.[1];
			if (name !== undefined && !cited && !CITED.test(line.split("//")[1] ?? "")) found.push(name);
		}
	}
	return found;
}

describe.each(["format", "device"])("assembly/%s", (name) => {
	const files = readdirSync(folder(name));

	test.each(files)("%s cites the specification at every constant", (file) => {
		expect(uncited(readFileSync(`${folder(name)}/${file}`, "utf8"))).toEqual([]);
	});

	test.runIf(name === "format")("no format is longer than 250 lines", () => {
		for (const file of files) expect(readFileSync(`${folder(name)}/${file}`, "utf8").split("\n").length, file).toBeLessThanOrEqual(250);
	});
});

test("the check finds what it looks for", () => {
	expect(uncited("// 9.8\nconst A: u64 = 1;\nconst B: u64 = 2;\n\nconst C: u64 = 3;\nconst D: u64 = 4; // 2.2.3\n")).toEqual(["C"]);
	expect(uncited("// the engine's own\nexport const A: u32 = 1;\n\n/** a bit */\nexport const B: u32 = 1;\n")).toEqual(["B"]);
});
