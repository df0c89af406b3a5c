/** CRC-32 as in zlib: Node's own where there is one, a table elsewhere. */

type Crc = (data: Uint8Array) => number;

export const crc32: Crc = (globalThis.process?.getBuiltinModule?.("node:zlib") as { crc32?: Crc } | undefined)?.crc32 ?? crc32Table;

let table: Uint32Array | null = null;

function makeTable(): Uint32Array {
	return Uint32Array.from({ length: 256 }, (_, byte) => {
		let value = byte;
		for (let bit = 0; bit < 8; bit++) value = value & 1 ? (value >>> 1) ^ 0xedb88320 : value >>> 1;
		return value;
	});
}

/** The same without Node. */
export function crc32Table(data: Uint8Array): number {
	table ??= makeTable();
	let value = 0xffffffff;
	for (let i = 0; i < data.length; i++) value = (value >>> 8) ^ table[(value ^ data[i]) & 0xff];
	return ~value >>> 0;
}
