/** The compiled engine as a binary: what it imports, and that it brings no data into the host's memory. */
import { existsSync, readFileSync } from "node:fs";
import { describe, expect, test } from "vitest";

const SECTION_IMPORT = 2;
const SECTION_START = 8;
const SECTION_DATA = 11;
const SECTION_DATA_COUNT = 12;

class Reader {
	#at: number;
	readonly #bytes: Uint8Array;

	constructor(bytes: Uint8Array, at = 0) {
		this.#bytes = bytes;
		this.#at = at;
	}

	get done(): boolean {
		return this.#at >= this.#bytes.length;
	}

	byte(): number {
		return this.#bytes[this.#at++];
	}

	/** An unsigned LEB128 number. */
	number(): number {
		let value = 0;
		for (let shift = 0; ; shift += 7) {
			const byte = this.byte();
			value += (byte & 0x7f) * 2 ** shift;
			if (byte < 0x80) return value;
		}
	}

	slice(length: number): Uint8Array {
		this.#at += length;
		if (this.#at > this.#bytes.length) throw new Error("the module ends inside a section");
		return this.#bytes.subarray(this.#at - length, this.#at);
	}

	name(): string {
		return new TextDecoder().decode(this.slice(this.number()));
	}
}

/** Section id -> its bytes; custom sections (id 0) left out. */
function sections(bytes: Uint8Array): Map<number, Uint8Array> {
	const header = new Reader(bytes);
	expect([...header.slice(8)]).toEqual([0, 0x61, 0x73, 0x6d, 1, 0, 0, 0]);
	const found = new Map<number, Uint8Array>();
	while (!header.done) {
		const id = header.byte();
		const body = header.slice(header.number());
		if (id !== 0) found.set(id, body);
	}
	return found;
}

/** "module.name kind" of every import. */
function imports(section: Uint8Array): string[] {
	const reader = new Reader(section);
	const kinds = ["function", "table", "memory", "global"];
	const limits = (): void => {
		const flags = reader.number();
		reader.number();
		if (flags & 1) reader.number();
	};
	return Array.from({ length: reader.number() }, () => {
		const name = `${reader.name()}.${reader.name()}`;
		const kind = kinds[reader.byte()];
		if (kind === "function") reader.number();
		else if (kind === "memory") limits();
		else reader.slice(2);
		if (kind === "table") limits();
		return `${name} ${kind}`;
	});
}

describe.each(["engine.wasm", "engine.debug.wasm"])("build/%s", (file) => {
	const path = new URL(`../../build/${file}`, import.meta.url);

	test("is built", () => expect(existsSync(path)).toBe(true));

	test("imports the memory and the two host callbacks, nothing else", () => {
		const bytes = readFileSync(path);
		const expected = ["env.hostRead function", "env.hostWrite function", "env.memory memory"];
		expect(imports(sections(bytes).get(SECTION_IMPORT)!).sort()).toEqual(expected);
		// The runtime's own reading of the same bytes.
		const own = WebAssembly.Module.imports(new WebAssembly.Module(bytes));
		expect(own.map(({ module, name, kind }) => `${module}.${name} ${kind}`).sort()).toEqual(expected);
	});

	test("has no data segment and no start function", () => {
		const found = sections(readFileSync(path));
		expect(found.has(SECTION_DATA)).toBe(false);
		expect(found.has(SECTION_DATA_COUNT)).toBe(false);
		expect(found.has(SECTION_START)).toBe(false);
	});
});
