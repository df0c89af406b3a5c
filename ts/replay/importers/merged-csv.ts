/**
 * Joined recordings as CSV: `t_us,kind,id,iova,size,pa,info`, one event a line, in time order.
 *
 * - `id` is the device's RID; on `inv` rows the domain id or ASID; -1, None or nothing when unknown. An unmap of unknown
 *   device belongs to the one device that maps the whole range.
 * - `pa` of a `fault` row is the reason.
 * - `info`: map `r|w|rw`; dma `hit|miss;did=..;pte=..`; inv `page|domain|global|pasid|pasid-page`; fault `r|w`.
 *   A map `w` is read-write: no architecture that such files come from has write-only entries.
 * - `ioasid convert` writes a line `# ioasid {..}` with the dictionary of the trace file, and into `info` what the above cannot
 *   say: `flags=` and `;pasid=`, numbers as in the columns; inv `device`. Then nothing is guessed, and every column comes back.
 *
 * Elsewhere, what recorded it is not said, but the entries are (`pte=`): an Arm descriptor has its access flag (bit 10) set, a VT-d
 * first-stage entry has bit 10 clear and its accessed bit (5) set, a second-stage one has neither. The majority of the rows
 * decides; a file without entries stays `unknown`.
 */
import { readDictionary, withOrigin } from "../file/dictionary.ts";
import { CHUNK_EVENTS, type Dictionary } from "../file/format.ts";
import { LivePages } from "../join/live-pages.ts";
import { RowBuffer, setNumber, setPair, trimmed } from "../rows.ts";
import { Scanner } from "../scan.ts";
import { Access, type Columns, Kind, NO_DEVICE, Scope, type Trace, type TraceDevice, Verdict } from "../trace.ts";
import { type Importer, type JoinedLog, type LineParser, type Place, type StreamingParser, share } from "./contract.ts";
import { deviceName } from "./device-name.ts";

export const mergedCsv: Importer = {
	name: "merged-csv",
	title: "joined CSV",
	lastLine: "whole",
	recognise: (head) => {
		if (/^t_us,kind,id,iova,size,pa,info\r?(\n|$)/.test(head)) return 1;
		return share(head, /^[\d.]+,(map|unmap|dma|inv|fault),[^,]*,0x[0-9a-f]+,\d+,[^,]*,/i);
	},
	open: (place) => new MergedCsvParser(place),
};

const HEADER = "t_us,";
const DICTIONARY = "# ioasid ";
/** Digits that a double holds exactly. */
const EXACT_DIGITS = 15;
const COMMA = 44;
const ARM_ACCESS_FLAG = 0x400;
const X86_ACCESSED = 0x20;

/** Reads lines into rows. */
export class MergedCsvParser implements LineParser, StreamingParser {
	private devices: TraceDevice[] = [];
	private dictionary: Dictionary | null = null;
	private readonly place: Place;
	private readonly scan = new Scanner();
	private readonly rows = new RowBuffer();
	private readonly indexByRid = new Map<number, number>();
	private readonly live = new LivePages();
	private time = 0;
	private backwards = 0;
	private unowned = 0;
	private readonly entries = { arm: 0, first: 0, second: 0 };

	constructor(place: Place) {
		this.place = place;
	}

	chunks(): Columns[] {
		const chunks: Columns[] = [];
		while (this.rows.length >= CHUNK_EVENTS) chunks.push(this.rows.take(CHUNK_EVENTS));
		return chunks;
	}

	line(text: string): void {
		if (text === "" || text.startsWith(HEADER)) this.place.ignored();
		else if (text.startsWith(DICTIONARY)) this.readDictionary(text.slice(DICTIONARY.length));
		else if (!this.row(text)) this.place.damage(`cannot read "${text.slice(0, 120)}"`);
	}

	private readDictionary(text: string): void {
		let value: unknown = null;
		try {
			// lines are Latin-1, the dictionary is UTF-8
			value = JSON.parse(new TextDecoder().decode(Uint8Array.from(text, (character) => character.charCodeAt(0))));
		} catch {}
		const dictionary = typeof value === "object" && value !== null ? readDictionary(value) : "no JSON object";
		// without it the rows would be taken for something else
		if (typeof dictionary === "string") throw this.place.error("damaged", `the dictionary: ${dictionary}`);
		if (this.devices.length > 0) throw this.place.error("damaged", "a dictionary comes after rows");
		this.dictionary = dictionary;
		this.devices = dictionary.devices;
		for (const [index, { segment, rid }] of this.devices.entries()) this.indexByRid.set(segment * 0x10000 + rid, index);
	}

	private row(text: string): boolean {
		const time = this.readTime(text);
		if (time < 0) return false;
		const kindAt = this.scan.end + 1;
		const idAt = text.indexOf(",", kindAt) + 1;
		const iovaAt = text.indexOf(",", idAt) + 1;
		const sizeAt = text.indexOf(",", iovaAt) + 1;
		const paAt = text.indexOf(",", sizeAt) + 1;
		const infoAt = text.indexOf(",", paAt) + 1;
		// an absent comma gives 0, which is in front of its neighbour
		if (idAt === 0 || iovaAt < idAt || sizeAt < iovaAt || paAt < sizeAt || infoAt < paAt) return false;
		const kind = kindOf(text, kindAt, idAt - 1);
		const id = this.readId(text, idAt);
		if (kind < 0 || id === null) return false;
		if (!text.startsWith("0x", iovaAt) || !this.scan.hex(text, iovaAt + 2)) return false;
		const { lo, hi } = this.scan;
		const size = this.scan.decimal(text, sizeAt);
		if (size < 0 || text.charCodeAt(this.scan.end) !== COMMA) return false;
		// what ioasid wrote itself is kept as it was
		if (this.dictionary === null && hi * 0x1_0000_0000 + lo + size > 2 ** 64) return false;
		const sizeEnd = this.scan.end;
		const given = this.dictionary === null || kind === Kind.invalidate ? -1 : this.scan.labelledNumber(text, "flags=", infoAt);
		const flags = given >= 0 ? given : flagsOf(kind, text, infoAt);
		if (flags < 0 || flags > 0xff) return false;
		const pa = this.scan.labelledNumber(text, ",", paAt - 1);
		if (pa < 0 && kind !== Kind.unmap && kind !== Kind.invalidate) return false;
		const paLow = this.scan.lo;
		const paHigh = this.scan.hi;
		const decimalPa = !text.startsWith("0x", paAt);

		const row = this.rows.add(kind, this.forward(time), NO_DEVICE);
		const columns = this.rows.columns;
		columns.flags[row] = flags;
		setPair(columns.iova, row, lo, hi);
		if (sizeEnd - sizeAt > EXACT_DIGITS) setDigits(columns.size, row, text.slice(sizeAt, sizeEnd));
		else setNumber(columns.size, row, size);
		const pasid = this.dictionary === null ? -1 : this.scan.labelledNumber(text, ";pasid=", infoAt);
		if (pasid >= 0) columns.pasid[row] = pasid;
		if (kind === Kind.invalidate) {
			columns.id[row] = Math.max(0, id);
			// the format has no column for it; requests without a PASID use PASID 0 in scalable mode
			if (this.dictionary === null && (flags === Scope.pasid || flags === Scope.pasidPage)) columns.pasid[row] = 0;
			return true;
		}
		if (kind !== Kind.unmap) {
			if (decimalPa) setNumber(columns.pa, row, pa);
			else setPair(columns.pa, row, paLow, paHigh);
		}
		const device = id < 0 ? -1 : this.device(id);
		if (kind === Kind.dma) columns.verdict[row] = this.verdict(text, infoAt, device);
		const owner = kind === Kind.map || kind === Kind.unmap ? this.mapping(kind, device, hi * 0x1_0000_0000 + lo, size) : device;
		if (owner >= 0) columns.id[row] = owner;
		return true;
	}

	private readTime(text: string): number {
		const scan = this.scan;
		const whole = scan.decimal(text, 0);
		let time = whole;
		if (whole >= 0 && text.charCodeAt(scan.end) === 46) {
			const from = scan.end + 1;
			const fraction = scan.decimal(text, from);
			if (fraction < 0) return -1;
			const scale = 10 ** (scan.end - from);
			// one division of whole numbers, so that it rounds as a parser of decimals does
			time = scan.end <= EXACT_DIGITS ? (whole * scale + fraction) / scale : Number(text.slice(0, scan.end));
		}
		return text.charCodeAt(scan.end) === COMMA ? time : -1;
	}

	/** The id, -1 when it is unknown, null when it is nothing of the kind. */
	private readId(text: string, at: number): number | null {
		const id = this.scan.decimal(text, at);
		if (id >= 0) return text.charCodeAt(this.scan.end) === COMMA ? id : null;
		return text.charCodeAt(at) === COMMA || text.startsWith("-1,", at) || text.startsWith("None,", at) ? -1 : null;
	}

	private forward(time: number): number {
		if (time < this.time) this.backwards++;
		else this.time = time;
		return this.time;
	}

	private device(rid: number): number {
		const known = this.indexByRid.get(rid);
		if (known !== undefined) return known;
		const segment = Math.floor(rid / 0x10000);
		const index = this.devices.push({ segment, rid: rid & 0xffff, name: deviceName(segment, rid & 0xffff), domain: null, levels: null }) - 1;
		this.indexByRid.set(rid, index);
		return index;
	}

	private mapping(kind: number, device: number, start: number, size: number): number {
		if (this.dictionary !== null) return device;
		const owner = device < 0 && kind === Kind.unmap ? this.live.soleOwner(start, start + size) : device;
		if (owner < 0) this.unowned++;
		else if (kind === Kind.map) this.live.map(owner, start, start + size);
		else this.live.unmap(owner, start, start + size);
		return owner;
	}

	/** `hit|miss;did=3;pte=0xd4ec003` */
	private verdict(text: string, at: number, device: number): number {
		const scan = this.scan;
		const domain = this.dictionary === null ? scan.labelledNumber(text, ";did=", at) : -1;
		if (domain >= 0 && device >= 0) this.devices[device].domain = domain;
		// QEMU's SMMU shows no entry on a hit: 0
		if (scan.labelledHex(text, ";pte=", at) && (scan.lo !== 0 || scan.hi !== 0)) {
			if ((scan.lo & ARM_ACCESS_FLAG) !== 0) this.entries.arm++;
			else if ((scan.lo & X86_ACCESSED) !== 0) this.entries.first++;
			else this.entries.second++;
		}
		if (text.startsWith("hit", at)) return Verdict.hit;
		return text.startsWith("miss", at) ? Verdict.miss : Verdict.none;
	}

	/** What recorded the rows read so far. */
	private kind(): Pick<Trace, "architecture" | "stage"> {
		if (this.dictionary !== null) return this.dictionary;
		const { arm, first, second } = this.entries;
		if (arm + first + second === 0) return { architecture: "unknown", stage: "second" };
		if (arm > first + second) return { architecture: "smmuv3", stage: "first" };
		return { architecture: "vtd", stage: first > second ? "first" : "second" };
	}

	/** Remarks on the rows read so far. */
	private notes(): string[] {
		const notes = this.dictionary === null ? [] : withOrigin(this.dictionary.notes, this.dictionary.files);
		if (this.backwards > 0) notes.push(`${this.backwards} rows go back in time; they take the time of the row before`);
		if (this.unowned > 0) notes.push(`${this.unowned} maps or unmaps belong to no device that can be told`);
		if (this.live.replaced > 0) notes.push(`${this.live.replaced} pages were mapped over without an unmap`);
		return notes;
	}

	end(): JoinedLog {
		const { architecture, stage } = this.kind();
		return { side: "joined", architecture, stage, columns: trimmed(this.rows.columns), devices: this.devices, notes: this.notes() };
	}
}

/** A whole number of any length, modulo 2^64. */
function setDigits(column: Uint32Array, row: number, digits: string): void {
	const value = BigInt(digits);
	setPair(column, row, Number(value & 0xffffffffn), Number((value >> 32n) & 0xffffffffn));
}

function kindOf(text: string, start: number, end: number): number {
	const length = end - start;
	if (length === 3) {
		if (text.startsWith("dma", start)) return Kind.dma;
		if (text.startsWith("map", start)) return Kind.map;
		return text.startsWith("inv", start) ? Kind.invalidate : -1;
	}
	if (length !== 5) return -1;
	if (text.startsWith("unmap", start)) return Kind.unmap;
	return text.startsWith("fault", start) ? Kind.fault : -1;
}

const READ_WRITE = Access.read | Access.write;

/** The flags that `info` gives a row of `kind`; -1 when it says something else. */
function flagsOf(kind: number, text: string, at: number): number {
	if (kind === Kind.dma) return Access.any;
	if (kind === Kind.unmap) return 0;
	if (kind === Kind.invalidate) return scopeOf(text, at);
	if (kind === Kind.map) {
		if (text.startsWith("rw", at) || text.startsWith("w", at) || at === text.length) return READ_WRITE;
		return text.startsWith("r", at) ? Access.read : -1;
	}
	if (text.startsWith("w", at)) return Access.write;
	return text.startsWith("r", at) ? Access.read : -1;
}

function scopeOf(text: string, at: number): number {
	if (text.startsWith("page", at)) return Scope.page;
	if (text.startsWith("domain", at)) return Scope.domain;
	if (text.startsWith("global", at)) return Scope.global;
	if (text.startsWith("device", at)) return Scope.device;
	if (text.startsWith("pasid-page", at)) return Scope.pasidPage;
	return text.startsWith("pasid", at) ? Scope.pasid : -1;
}
