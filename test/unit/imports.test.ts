/** Imports of both trees: no circle, and only in the direction that the architecture allows. */
import { readdirSync, readFileSync } from "node:fs";
import { dirname, join, normalize } from "node:path/posix";
import { fileURLToPath } from "node:url";
import { describe, expect, test } from "vitest";

/** Module path -> what it imports: module paths of the repository, or package names. */
type Graph = Map<string, string[]>;

const ROOT = fileURLToPath(new URL("../..", import.meta.url));
const LOADER = "@assemblyscript/loader";
const LAYOUT = "assembly/layout.ts";

/** Each room with the rooms of ts/ that it may import, itself aside. */
const BELOW: Record<string, string[]> = {
	engine: [],
	core: ["engine"],
	iommu: ["core", "engine"],
	driver: ["core", "engine"],
	uapi: ["core", "engine", "iommu", "driver"],
	replay: ["uapi", "core", "engine", "iommu", "driver"],
	report: ["replay", "uapi", "core", "engine"],
	cli: ["web", "report", "replay", "uapi", "core", "engine", "iommu", "driver"],
	web: ["report", "replay", "uapi", "core", "engine", "iommu", "driver"],
};

function specifiers(source: string): string[] {
	const code = source.replace(/("(?:\\.|[^"\\\n])*"|'(?:\\.|[^'\\\n])*')|\/\/[^\n]*|\/\*[\s\S]*?\*\//g, (_, text?: string) => text ?? "");
	const statements = /^[ \t]*(?:import|export)\b(?:[^;"'=()]*?\bfrom)?\s*(["'])([^"'\n]+)\1/gm;
	const dynamic = /\bimport\(\s*(["'])([^"'\n]+)\1\s*\)/g;
	return [...code.matchAll(statements), ...code.matchAll(dynamic)].map((match) => match[2]);
}

function resolve(from: string, specifier: string): string {
	if (!specifier.startsWith(".")) return specifier;
	const target = normalize(join(dirname(from), specifier));
	return /\.[cm]?[jt]s$|\.json$/.test(target) ? target : `${target}.ts`;
}

function readTree(tree: string): Graph {
	const graph: Graph = new Map();
	for (const entry of readdirSync(join(ROOT, tree), { recursive: true, encoding: "utf8" })) {
		const module = `${tree}/${entry.replaceAll("\\", "/")}`;
		if (!module.endsWith(".ts") || module.endsWith(".generated.ts")) continue;
		const found = specifiers(readFileSync(join(ROOT, module), "utf8"));
		graph.set(module, [...new Set(found.map((specifier) => resolve(module, specifier)))]);
	}
	return graph;
}

/** The circles that a depth-first walk meets, each as "a -> b -> a". */
function circles(graph: Graph): string[] {
	const found: string[] = [];
	const done = new Set<string>();
	const path: string[] = [];
	const visit = (module: string): void => {
		const start = path.indexOf(module);
		if (start >= 0) found.push([...path.slice(start), module].join(" -> "));
		if (start >= 0 || done.has(module)) return;
		path.push(module);
		for (const target of graph.get(module) ?? []) visit(target);
		path.pop();
		done.add(module);
	};
	for (const module of graph.keys()) visit(module);
	return found;
}

/** The room of a module of ts/; undefined for a module directly in ts/. */
function roomOf(module: string): string | undefined {
	const parts = module.split("/");
	return parts.length > 2 ? parts[1] : undefined;
}

function allowed(from: string, to: string): boolean {
	if (from.startsWith("assembly/")) return to.startsWith("assembly/");
	if (to.startsWith("assembly/")) return to === LAYOUT;
	if (from === "ts/index.ts" || !to.startsWith("ts/")) return true;
	const [room, target] = [roomOf(from), roomOf(to)];
	// A module beside index.ts belongs to no room: every room may use it, it may use none, and nobody uses index.ts.
	if (target === undefined) return to !== "ts/index.ts";
	if (room === undefined) return false;
	return target === room || (BELOW[room] ?? []).includes(target);
}

function wrongDirections(graph: Graph): string[] {
	const edges = [...graph].flatMap(([from, targets]) => targets.map((to) => [from, to]));
	return edges.filter(([from, to]) => !allowed(from, to)).map((edge) => edge.join(" -> "));
}

function dangling(graph: Graph, known: Set<string>): string[] {
	const edges = [...graph].flatMap(([from, targets]) => targets.map((to) => [from, to]));
	return edges
		.filter(([, to]) => /^(?:ts|assembly)\//.test(to) && !to.endsWith(".generated.ts") && !known.has(to))
		.map((edge) => edge.join(" -> "));
}

const assembly = readTree("assembly");
const ts = readTree("ts");

describe("the trees", () => {
	test("every import is found, so nothing is missed", () => {
		const known = new Set([...assembly.keys(), ...ts.keys()]);
		expect(assembly.size).toBeGreaterThan(10);
		expect(ts.size).toBeGreaterThan(10);
		expect([...dangling(assembly, known), ...dangling(ts, known)]).toEqual([]);
	});

	test("assembly/ has no circle", () => expect(circles(assembly)).toEqual([]));
	test("ts/ has no circle", () => expect(circles(ts)).toEqual([]));
	test("assembly/ imports nothing from outside", () => expect(wrongDirections(assembly)).toEqual([]));
	test("the rooms of ts/ import one way", () => expect(wrongDirections(ts)).toEqual([]));

	test("every room is one that the order knows", () => {
		const rooms = new Set([...ts.keys()].map(roomOf).filter((room) => room !== undefined));
		expect([...rooms].filter((room) => !(room in BELOW))).toEqual([]);
	});

	test("the loader is imported in exactly one module", () => {
		const users = [...ts].filter(([, targets]) => targets.includes(LOADER)).map(([module]) => module);
		expect(users).toHaveLength(1);
		expect(roomOf(users[0])).toBe("engine");
	});
});

describe("the checker itself", () => {
	test("finds a circle, also through a third module, and not a diamond", () => {
		const circle: Graph = new Map([["a", ["b"]], ["b", ["c"]], ["c", ["b", "d"]], ["d", []]]);
		expect(circles(circle)).toEqual(["b -> c -> b"]);
		const diamond: Graph = new Map([["a", ["b", "c"]], ["b", ["d"]], ["c", ["d"]], ["d", []]]);
		expect(circles(diamond)).toEqual([]);
		expect(circles(new Map([["a", ["a"]]]))).toEqual(["a -> a"]);
	});

	test("finds wrong directions", () => {
		const wrong: Graph = new Map([
			["ts/engine/a.ts", ["ts/core/b.ts", "ts/index.ts"]],
			["ts/core/b.ts", ["ts/iommu/c.ts", "ts/driver/d.ts", "ts/version.ts"]],
			["ts/iommu/c.ts", ["ts/driver/d.ts", "ts/core/b.ts"]],
			["ts/replay/e.ts", ["assembly/walk.ts", LAYOUT, "ts/driver/d.ts"]],
			["ts/version.ts", ["ts/engine/a.ts"]],
			["assembly/walk.ts", ["ts/engine/a.ts"]],
			["ts/index.ts", ["ts/cli/main.ts", "ts/core/b.ts"]],
		]);
		expect(wrongDirections(wrong)).toEqual([
			"ts/engine/a.ts -> ts/core/b.ts",
			"ts/engine/a.ts -> ts/index.ts",
			"ts/core/b.ts -> ts/iommu/c.ts",
			"ts/core/b.ts -> ts/driver/d.ts",
			"ts/iommu/c.ts -> ts/driver/d.ts",
			"ts/replay/e.ts -> assembly/walk.ts",
			"ts/version.ts -> ts/engine/a.ts",
			"assembly/walk.ts -> ts/engine/a.ts",
		]);
	});

	test("reads every form of import and no comment", () => {
		const source = [
			'import { a,\n\ttype b } from "./a.ts"; // import "./no1.ts"',
			'import type { C } from "./c.ts";',
			'export * from "./d.ts";\nexport { e } from \'./e.ts\';',
			'import "./f.ts";\nconst g = await import("./g.ts");',
			'/* import "./no2.ts"\nimport "./no3.ts" */',
			'const url = "https://x"; import * as h from "./h.ts";',
			'export const text = "./no4.ts";\nexport function f(x = "./no5.ts") {}',
		].join("\n");
		expect(specifiers(source).sort()).toEqual(["./a.ts", "./c.ts", "./d.ts", "./e.ts", "./f.ts", "./g.ts"]);
		expect(specifiers('import * as h from "./h"')).toEqual(["./h"]);
	});
});
