/**
 * Packet lists as trace-driven IOMMU models (HyperSIO) take them: one access a line, the address in hexadecimal and the source id,
 * apart by spaces, tabs or a comma. `0x` before the address may be absent. The source id is decimal, `0x` hexadecimal or `00:01.0`; `r` or
 * `w` may follow. `#` starts a comment.
 *
 * The list tells no translation and no time: pages are mapped to themselves at their first use, and time is the line's number.
 */
import { RowBuffer, setNumber, setPair } from "../rows.ts";
import { Scanner } from "../scan.ts";
import { Access, Kind } from "../trace.ts";
import { type Importer, type JoinedLog, type LineParser, type Place, share } from "./contract.ts";
import { DeviceIds } from "./device-id.ts";
import { mapAtFirstUse } from "./first-use.ts";

const LINE = /^\s*(?:0x[0-9a-f]{1,16}|[0-9a-f]{4,16})(?:\s*,\s*|\s+)(?:0x[0-9a-f]{1,8}|\d{1,10}|(?:[0-9a-f]{4,}:)?[0-9a-f]{2}:[01][0-9a-f]\.[0-7])(?:(?:\s*,\s*|\s+)[rw])?\s*$/i;

export const packetList: Importer = {
	name: "packet-list",
	title: "list of addresses and source ids",
	lastLine: "whole",
	recognise: (head) => {
		// the shape is so plain that nearly every line must have it
		const fits = share(head, LINE, /^\s*[^#\s]/);
		return fits > 0.9 ? 0.9 * fits : 0;
	},
	open: (place) => new PacketListParser(place),
};

class PacketListParser implements LineParser {
	private readonly place: Place;
	private readonly scan = new Scanner();
	private readonly rows = new RowBuffer();
	private readonly ids = new DeviceIds();

	constructor(place: Place) {
		this.place = place;
	}

	line(text: string): void {
		const start = skipBlank(text, 0);
		const first = text.charCodeAt(start);
		if (start === text.length || first === 35) this.place.ignored();
		else if (!this.packet(text, start)) this.place.damage(`cannot read "${text.slice(0, 120)}"`);
	}

	private packet(text: string, start: number): boolean {
		const scan = this.scan;
		if (!scan.hex(text, text.startsWith("0x", start) || text.startsWith("0X", start) ? start + 2 : start)) return false;
		const { lo, hi, end } = scan;
		const at = skipBlank(text, end);
		const idEnd = wordEnd(text, at);
		if (at === end || idEnd === at) return false;
		const device = this.ids.index(text.slice(at, idEnd));
		if (device < 0) return false;
		const accessAt = skipBlank(text, idEnd);
		const word = text.slice(accessAt).trim().toLowerCase();
		if (word !== "" && word !== "r" && word !== "w") return false;
		const row = this.rows.add(Kind.dma, this.rows.length, device);
		const { columns } = this.rows;
		columns.flags[row] = word === "" ? Access.any : word === "r" ? Access.read : Access.write;
		setPair(columns.iova, row, lo, hi);
		setNumber(columns.size, row, 1);
		setPair(columns.pa, row, lo, hi);
		return true;
	}

	end(): JoinedLog {
		const notes = ["a list of accesses: pages are mapped to themselves at their first use, and time is the number of the packet"];
		return { side: "joined", architecture: "unknown", stage: "second", columns: mapAtFirstUse(this.rows.columns), devices: this.ids.devices, notes };
	}
}

function isBlank(code: number): boolean {
	return code === 32 || code === 9 || code === 44;
}

function skipBlank(text: string, at: number): number {
	while (isBlank(text.charCodeAt(at))) at++;
	return at;
}

function wordEnd(text: string, at: number): number {
	while (at < text.length && !isBlank(text.charCodeAt(at))) at++;
	return at;
}
