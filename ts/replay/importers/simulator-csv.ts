/**
 * A CSV for anybody's own simulator: a header row names the columns, in any order; one event a row.
 *
 * | column | holds | when absent or empty |
 * |---|---|---|
 * | `device` | `0000:00:01.0`, `00:01.0`, or the source id (`8`, `0x8`) | damage, except on `inv` rows |
 * | `iova` | address of the access, or first byte of the range | damage, except on `inv` rows of a whole scope |
 * | `kind` | `dma`, `read`, `write`, `map`, `unmap`, `inv`, `fault` | `dma` |
 * | `time_us`, `time_ns` or `time_s` | time, never falling | the number of the row, in microseconds |
 * | `size` | bytes | 1 (dma, fault); 4096 (map, unmap); the whole scope (inv) |
 * | `pa` | dma: the address that came out; map: the first output byte | dma: what is mapped; map: damage |
 * | `access` | `r`, `w`, `rw`; map: permissions | dma, fault: not known; map: `rw` |
 * | `verdict` | dma: `hit` or `miss` of the simulator's own IOTLB | none |
 * | `domain` | the device's domain id (ASID), or that of an `inv` row | none; inv: that of the device, else all |
 * | `pasid` | PASID | none |
 * | `scope` | inv: `page`, `domain`, `global`, `pasid`, `pasid-page` | `page` with an iova, else `domain`; `global` when neither domain nor device is told |
 * | `reason` | fault: reason code of the architecture | any reason |
 *
 * Numbers are decimal, or hexadecimal with `0x`. Rows without any `map` in the file are an access list: every page is mapped at its first
 * use, to `pa` or to itself. `#` starts a comment. Other columns are ignored and told.
 */
import { PageRanges } from "../join/page-ranges.ts";
import { pageOf, RowBuffer, setNumber, setPair } from "../rows.ts";
import { Scanner } from "../scan.ts";
import { Access, type Columns, Kind, NO_PASID, Scope, Verdict } from "../trace.ts";
import type { Importer, JoinedLog, LineParser, Place } from "./contract.ts";
import { type Column, CsvFields } from "./csv-fields.ts";
import { DeviceIds } from "./device-id.ts";
import { mapAtFirstUse } from "./first-use.ts";

/** Domains of devices whose own nobody told, when one is needed. */
const OWN_DOMAINS = 0x8000;
const MICROSECONDS = { time_us: 1, time_ns: 1e-3, time_s: 1e6 } as const;
const KINDS = new Map<string, number>([
	["", Kind.dma],
	["dma", Kind.dma],
	["read", Kind.dma],
	["write", Kind.dma],
	["map", Kind.map],
	["unmap", Kind.unmap],
	["inv", Kind.invalidate],
	["fault", Kind.fault],
]);
const ACCESS = new Map<string, number>([
	["r", Access.read],
	["w", Access.write],
	["rw", Access.read | Access.write],
]);
const SCOPES = new Map<string, number>([
	["page", Scope.page],
	["domain", Scope.domain],
	["global", Scope.global],
	["pasid", Scope.pasid],
	["pasid-page", Scope.pasidPage],
]);

export const simulatorCsv: Importer = {
	name: "simulator-csv",
	title: "CSV with a header that names device and iova",
	lastLine: "whole",
	recognise: (head) => {
		const line = head.split(/\r?\n/, 50).find((text) => text !== "" && !text.startsWith("#")) ?? "";
		const names = line.toLowerCase().split(",").map((name) => name.trim());
		return names.includes("device") && names.includes("iova") ? 0.95 : 0;
	},
	open: (place) => new SimulatorCsvParser(place),
};

class SimulatorCsvParser implements LineParser {
	private readonly place: Place;
	private readonly fields = new CsvFields();
	private readonly scan = new Scanner();
	private readonly rows = new RowBuffer();
	private readonly ids = new DeviceIds();
	/** what is mapped: for accesses whose output is not told */
	private readonly mapped = new Map<number, PageRanges<number>>();
	private headed = false;
	private maps = 0;
	private now = 0;
	private backwards = 0;

	constructor(place: Place) {
		this.place = place;
	}

	line(text: string): void {
		if (text === "" || text.startsWith("#")) this.place.ignored();
		else if (!this.headed) {
			this.headed = true;
			if (this.fields.header(text)) this.place.ignored();
			else this.place.damage("a column comes twice");
		} else {
			const what = this.row(text);
			if (what !== null) this.place.damage(`${what} in "${text.slice(0, 120)}"`);
		}
	}

	/** Adds a row; or what is wrong with it. */
	private row(text: string): string | null {
		const fields = this.fields;
		if (!fields.split(text)) return "another number of fields than in the header";
		const word = fields.text(text, "kind").toLowerCase();
		const kind = KINDS.get(word);
		if (kind === undefined) return "unknown kind";
		const time = this.time(text);
		if (Number.isNaN(time)) return "no number as time";
		const flags = this.flags(text, word, kind);
		if (flags < 0) return "unknown access or scope";
		const device = this.ids.index(fields.text(text, "device"));
		if (device < 0 && kind !== Kind.invalidate) return "no device";
		const domain = this.number(text, "domain", -1);
		const pasid = this.number(text, "pasid", NO_PASID);
		const size = this.number(text, "size", kind === Kind.invalidate ? (flags === Scope.page || flags === Scope.pasidPage ? 4096 : 0) : kind === Kind.map || kind === Kind.unmap ? 4096 : 1);
		const reason = this.number(text, "reason", 0);
		if (domain === null || pasid === null || size === null || reason === null) return "no number as domain, pasid, size or reason";
		const verdict = fields.text(text, "verdict").toLowerCase();
		if (verdict !== "" && verdict !== "hit" && verdict !== "miss") return "unknown verdict";
		const whole = kind === Kind.invalidate && fields.text(text, "iova") === "";
		if (!whole && !this.wide(fields.text(text, "iova"))) return "no number as iova";
		const lo = whole ? 0 : this.scan.lo;
		const hi = whole ? 0 : this.scan.hi;
		if (this.scan.value() * Number(!whole) + size > 2 ** 64) return "a range that ends behind 64 bits";
		const out = fields.text(text, "pa");
		if (out !== "" && !this.wide(out)) return "no number as pa";
		if (out === "" && kind === Kind.map) return "no pa";

		if (kind === Kind.invalidate && flags !== Scope.global && domain < 0 && device < 0) return "neither domain nor device";
		const row = this.rows.add(kind, time, kind === Kind.invalidate ? this.domainOf(device, domain) : device);
		const { columns } = this.rows;
		columns.flags[row] = flags;
		columns.pasid[row] = pasid;
		setPair(columns.iova, row, lo, hi);
		setNumber(columns.size, row, size);
		if (kind === Kind.invalidate) return null;
		if (domain >= 0) this.ids.devices[device].domain = domain;
		if (kind === Kind.fault) setNumber(columns.pa, row, reason);
		else if (out !== "") setPair(columns.pa, row, this.scan.lo, this.scan.hi);
		if (kind === Kind.dma) {
			columns.verdict[row] = verdict === "" ? Verdict.none : verdict === "hit" ? Verdict.hit : Verdict.miss;
			if (out === "") this.outputOf(columns, row);
		} else if (kind === Kind.map || kind === Kind.unmap) this.follow(columns, row);
		return null;
	}

	/** The domain that an invalidation means; a device that it names without one gets a domain of its own. */
	private domainOf(device: number, domain: number): number {
		if (domain >= 0) return domain;
		if (device < 0) return 0;
		const named = this.ids.devices[device];
		named.domain ??= OWN_DOMAINS + device;
		return named.domain;
	}

	private time(text: string): number {
		let time = this.rows.length;
		for (const column of ["time_us", "time_ns", "time_s"] as const) {
			const told = this.fields.text(text, column);
			if (told !== "") time = /^[\d.]+(?:e[+-]?\d+)?$/i.test(told) ? Number(told) * MICROSECONDS[column] : Number.NaN;
		}
		if (time < this.now) this.backwards++;
		else if (!Number.isNaN(time)) this.now = time;
		return Number.isNaN(time) ? time : this.now;
	}

	private flags(text: string, word: string, kind: number): number {
		if (kind === Kind.unmap) return 0;
		if (kind === Kind.invalidate) {
			const scope = this.fields.text(text, "scope").toLowerCase();
			if (scope === "" && this.fields.text(text, "domain") === "" && this.fields.text(text, "device") === "") return Scope.global;
			if (scope === "") return this.fields.text(text, "iova") === "" ? Scope.domain : Scope.page;
			return SCOPES.get(scope) ?? -1;
		}
		const access = this.fields.text(text, "access").toLowerCase();
		if (access === "" && (word === "read" || word === "write")) return word === "read" ? Access.read : Access.write;
		if (access === "") return kind === Kind.map ? Access.read | Access.write : Access.any;
		const flags = ACCESS.get(access) ?? -1;
		if (kind === Kind.map) return (flags & Access.write) !== 0 && flags >= 0 ? flags | Access.read : flags;
		return flags === (Access.read | Access.write) ? Access.any : flags;
	}

	/** A column's number below 2^53, `otherwise` when it is empty, null when it is something else. */
	private number(text: string, column: Column, otherwise: number): number | null {
		const told = this.fields.text(text, column);
		if (told === "") return otherwise;
		return this.wide(told) ? this.scan.value() : null;
	}

	/** Reads a whole 64-bit number, decimal or `0x`, into the scanner. */
	private wide(text: string): boolean {
		if (/^0x/i.test(text)) return this.scan.hex(text, 2) && this.scan.end === text.length;
		if (!/^\d{1,20}$/.test(text)) return false;
		const value = BigInt(text);
		return value < 1n << 64n && this.scan.hex(value.toString(16), 0);
	}

	/** The output of an access that tells none: what is mapped there, else the address itself. */
	private outputOf(columns: Columns, row: number): void {
		const page = this.mapped.get(columns.id[row])?.get(pageOf(columns.iova, row)) ?? pageOf(columns.iova, row);
		setNumber(columns.pa, row, page * 4096);
		columns.pa[2 * row] |= columns.iova[2 * row] & 0xfff;
	}

	private follow(columns: Columns, row: number): void {
		let pages = this.mapped.get(columns.id[row]);
		if (pages === undefined) {
			pages = new PageRanges((page, offset) => page + offset);
			this.mapped.set(columns.id[row], pages);
		}
		const first = pageOf(columns.iova, row);
		const end = first + Math.ceil((columns.size[2 * row + 1] * 2 ** 32 + columns.size[2 * row]) / 4096);
		if (columns.kind[row] === Kind.map) {
			this.maps++;
			pages.set(first, end, pageOf(columns.pa, row));
		} else pages.delete(first, end);
	}

	end(): JoinedLog {
		const notes: string[] = [];
		if (this.fields.ignored.length > 0) notes.push(`columns that mean nothing here: ${this.fields.ignored.join(", ")}`);
		if (this.backwards > 0) notes.push(`${this.backwards} rows go back in time; they take the time of the row before`);
		if (this.maps === 0) notes.push("no map in the file: pages are mapped at their first use");
		const columns = this.maps === 0 ? mapAtFirstUse(this.rows.columns) : this.rows.columns;
		return { side: "joined", architecture: "unknown", stage: "second", columns, devices: this.ids.devices, notes };
	}
}
