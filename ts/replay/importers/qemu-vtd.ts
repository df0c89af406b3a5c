/**
 * QEMU's intel-iommu trace log: legacy, scalable and first-stage modes.
 *
 * A translation is `vtd_dmar_translate`, preceded by `vtd_iotlb_page_hit` or `_update` (the recorder's verdict and the domain) of
 * the same device and page. Every invalidation descriptor is logged raw (`vtd_inv_desc`) and, unless it is PASID-based, once
 * more with its fields; rows come from the latter, and from the raw line for type 6 alone.
 */
import { RowBuffer, setNumber, setPair } from "../rows.ts";
import { Scanner } from "../scan.ts";
import { Access, Kind, Scope, Verdict } from "../trace.ts";
import { type HostDevice, type HostLog, type Importer, type LineParser, type Place, share } from "./contract.ts";
import { QemuLine } from "./qemu-line.ts";

export const qemuVtd: Importer = {
	name: "qemu-vtd",
	title: "QEMU intel-iommu trace log",
	lastLine: "cut",
	recognise: (head) => share(head, /^(\d+@\d+\.\d+:)?vtd_[a-z0-9_]+ /, /^(\d+@\d+\.\d+:)?[a-z0-9_]+ /),
	open: (place) => new VtdParser(place),
};

const RIDS = 0x10000;
/** interrupt addresses, 0xFEExxxxx: such DMAs are neither translated nor faulted */
const INTERRUPT_MEGABYTE = 0xfee;
const PIOTLB_DESCRIPTOR = 6;
const PIOTLB_PASID = 2;
/** first-stage entries: accessed */
const ACCESSED = 0x20;

const NAME = "vtd_".length;
const LETTER_D = 100;
const LETTER_I = 105;
const LETTER_R = 114;

class VtdParser implements LineParser {
	private readonly place: Place;
	private readonly prefix = new QemuLine();
	private readonly scan = new Scanner();
	private readonly rows = new RowBuffer();
	private readonly devices = new Map<number, HostDevice>();
	/** the verdict and address of the last IOTLB line of each RID, waiting for its translation */
	private readonly verdict = new Uint8Array(RIDS);
	private readonly lookup = new Uint32Array(2 * RIDS);
	private scalable = false;
	/** whether context lines may still tell something of a device */
	private incomplete = true;
	private enabled: boolean | null = null;
	private interrupts = 0;
	private untranslated = 0;
	private pasidInvalidations = 0;
	private otherInvalidations = 0;
	private accessedEntries = 0;
	private otherEntries = 0;
	private readonly moved = new Set<number>();

	constructor(place: Place) {
		this.place = place;
	}

	line(text: string): void {
		this.lineAt(text, 0, text.length);
	}

	lineAt(text: string, start: number, end: number): void {
		this.prefix.read(text, start);
		this.scan.limit = end;
		const at = this.prefix.start;
		const family = text.startsWith("vtd_", at) ? text.charCodeAt(at + NAME) : 0;
		if (family === LETTER_D) this.dmar(text, at + NAME);
		else if (family === LETTER_I) {
			if (text.startsWith("iotlb_", at + NAME)) this.iotlb(text, at + NAME + 6);
			else this.invalidation(text, at + NAME);
		} else {
			if (family === LETTER_R && text.startsWith("reg_dmar_root ", at + NAME)) this.scalable = text.slice(at, end).includes(" scalable 1");
			this.place.ignored();
		}
	}

	private dmar(text: string, at: number): void {
		let read = true;
		if (text.startsWith("dmar_translate ", at)) read = this.translate(text, at + 15);
		else if (text.startsWith("dmar_fault ", at)) read = this.fault(text, at + 11);
		else {
			if (text.startsWith("dmar_enable ", at)) this.enabled = text.startsWith("dmar_enable enable 1", at);
			this.place.ignored();
		}
		if (!read) this.unreadable(text);
	}

	/** `dev 00:1f.02 iova 0xfffc0000 -> gpa 0xe07c000 mask 0xfff` */
	private translate(text: string, at: number): boolean {
		const scan = this.scan;
		if (!text.startsWith("dev ", at) || !scan.hex(text, at + 4) || text.charCodeAt(scan.end) !== 58) return false;
		const bus = scan.lo;
		if (!scan.hex(text, scan.end + 1) || text.charCodeAt(scan.end) !== 46) return false;
		const slot = scan.lo;
		if (!scan.hex(text, scan.end + 1)) return false;
		const rid = ((bus << 8) | (slot << 3) | scan.lo) & 0xffff;
		if (!text.startsWith(" iova 0x", scan.end) || !scan.hex(text, scan.end + 8)) return false;
		let iova = scan.lo;
		const iovaHigh = scan.hi;
		if (!text.startsWith(" -> gpa 0x", scan.end) || !scan.hex(text, scan.end + 10)) return false;
		let pa = scan.lo;
		const paHigh = scan.hi;
		if (!text.startsWith(" mask 0x", scan.end) || !scan.hex(text, scan.end + 8)) return false;
		const mask = scan.lo;
		if (iovaHigh === 0 && iova >>> 20 === INTERRUPT_MEGABYTE) {
			this.interrupts++;
			return true;
		}
		const verdict = this.verdictOf(rid, iova, iovaHigh, mask);
		if (verdict === Verdict.none && this.enabled !== true && iova === pa && iovaHigh === paHigh) {
			// remapping is off: the line says so only by translating to itself without a lookup
			this.untranslated++;
			return true;
		}
		if (verdict !== Verdict.none && mask > 0xfff) {
			// a large page: the line gives its first byte, the lookup before it the address itself
			const inside = (this.lookup[2 * rid] & mask & ~0xfff) >>> 0;
			iova = (iova | inside) >>> 0;
			pa = (pa | inside) >>> 0;
		}
		this.device(rid);
		const row = this.rows.add(Kind.dma, this.prefix.time(), rid);
		const columns = this.rows.columns;
		columns.flags[row] = Access.any;
		columns.verdict[row] = verdict;
		setPair(columns.iova, row, iova, iovaHigh);
		setPair(columns.size, row, 4096, 0);
		setPair(columns.pa, row, pa, paHigh);
		return true;
	}

	/** The waiting verdict of `rid`, if it was for this address; it is used up. */
	private verdictOf(rid: number, iova: number, iovaHigh: number, mask: number): number {
		const verdict = this.verdict[rid];
		this.verdict[rid] = Verdict.none;
		const same = ((this.lookup[2 * rid] ^ iova) & ~mask) === 0 && this.lookup[2 * rid + 1] === iovaHigh;
		return same ? verdict : Verdict.none;
	}

	/** `sid 0x10 fault 6 addr 0x1000 write 0` */
	private fault(text: string, at: number): boolean {
		const scan = this.scan;
		if (!scan.labelledHex(text, "sid 0x", at)) return false;
		const rid = scan.lo & 0xffff;
		const reason = scan.labelledNumber(text, " fault ", scan.end);
		if (reason < 0 || !scan.labelledHex(text, " addr 0x", scan.end)) return false;
		const { lo, hi } = scan;
		const write = scan.labelledNumber(text, " write ", scan.end);
		if (write < 0) return false;
		this.verdict[rid] = Verdict.none;
		if (hi === 0 && lo >>> 20 === INTERRUPT_MEGABYTE) {
			this.interrupts++;
			return true;
		}
		this.device(rid);
		const row = this.rows.add(Kind.fault, this.prefix.time(), rid);
		const columns = this.rows.columns;
		columns.flags[row] = write === 0 ? Access.read : Access.write;
		setPair(columns.iova, row, lo, hi);
		// the line has no length; the first byte is what faulted
		setPair(columns.size, row, 1, 0);
		setNumber(columns.pa, row, reason);
		return true;
	}

	private iotlb(text: string, at: number): void {
		let read = true;
		if (text.startsWith("page_hit ", at)) read = this.page(text, at + 9, Verdict.hit);
		else if (text.startsWith("page_update ", at)) read = this.page(text, at + 12, Verdict.miss);
		else if (text.startsWith("cc_update ", at) || (this.incomplete && text.startsWith("cc_hit ", at))) read = this.context(text, at + 7);
		else this.place.ignored();
		if (!read) this.unreadable(text);
	}

	/** `IOTLB page hit sid 0x8 iova 0xffffe040 slpte 0xd4ec003 domain 0x3`; newer QEMU says `pte` */
	private page(text: string, at: number, verdict: number): boolean {
		const scan = this.scan;
		if (!scan.nextHex(text, at)) return false;
		const rid = scan.lo & 0xffff;
		if (!scan.nextHex(text, scan.end)) return false;
		this.lookup[2 * rid] = scan.lo;
		this.lookup[2 * rid + 1] = scan.hi;
		// patched and other versions put more fields between
		if (!scan.labelledHex(text, "pte 0x", scan.end)) return false;
		if ((scan.lo & ACCESSED) !== 0) this.accessedEntries++;
		else this.otherEntries++;
		if (!scan.labelledHex(text, " domain 0x", scan.end)) return false;
		this.verdict[rid] = verdict;
		this.tag(rid, scan.lo);
		return true;
	}

	/** `IOTLB context hit bus 0x0 devfn 0x8 high 0x301 low 0x1a42001 gen 1` */
	private context(text: string, at: number): boolean {
		const scan = this.scan;
		if (!scan.labelledHex(text, " bus 0x", at)) return false;
		const bus = scan.lo;
		if (!scan.labelledHex(text, " devfn 0x", scan.end)) return false;
		const rid = ((bus << 8) | scan.lo) & 0xffff;
		if (!scan.labelledHex(text, " high 0x", scan.end)) return false;
		const device = this.device(rid);
		const domain = (scan.lo >>> 8) & 0xffff;
		const width = scan.lo & 7;
		this.incomplete = this.scalable || [...this.devices.values()].some((known) => known !== device && known.levels === null);
		// in scalable mode these words mean something else: a PASID directory instead of a domain and a width (1 to 3: 3 to 5 levels)
		if (this.scalable || domain === 0 || width === 0 || width > 3) return true;
		this.tag(rid, domain);
		device.levels = width + 2;
		return true;
	}

	private device(rid: number): HostDevice {
		let device = this.devices.get(rid);
		if (device === undefined) {
			device = { domain: null, levels: null };
			this.devices.set(rid, device);
			this.incomplete = true;
		}
		return device;
	}

	private tag(rid: number, domain: number): void {
		const device = this.device(rid);
		if (device.domain !== null && device.domain !== domain) this.moved.add(rid);
		device.domain = domain;
	}

	private invalidation(text: string, at: number): void {
		let read = true;
		if (text.startsWith("inv_desc ", at)) read = this.descriptor(text, at + 9);
		else if (text.startsWith("inv_desc_iotlb_pages ", at)) read = this.pages(text, at + 21);
		else if (text.startsWith("inv_desc_iotlb_domain ", at)) {
			read = this.scan.nextHex(text, at);
			if (read) this.invalidate(Scope.domain, this.scan.lo);
		} else if (text.startsWith("inv_desc_iotlb_global ", at)) this.invalidate(Scope.global, 0);
		else this.place.ignored();
		if (!read) this.unreadable(text);
	}

	private invalidate(scope: number, domain: number): number {
		this.otherInvalidations += scope === Scope.page || scope === Scope.domain ? 1 : 0;
		const row = this.rows.add(Kind.invalidate, this.prefix.time(), domain);
		this.rows.columns.flags[row] = scope;
		return row;
	}

	/** `iotlb invalidate domain 0x3 addr 0xffffd000 mask 0x0` */
	private pages(text: string, at: number): boolean {
		const scan = this.scan;
		if (!scan.labelledHex(text, " domain 0x", at)) return false;
		const domain = scan.lo;
		if (!scan.labelledHex(text, " addr 0x", scan.end)) return false;
		const { lo, hi } = scan;
		if (!scan.labelledHex(text, " mask 0x", scan.end)) return false;
		const row = this.invalidate(Scope.page, domain);
		setPair(this.rows.columns.iova, row, lo, hi);
		setNumber(this.rows.columns.size, row, 4096 * 2 ** scan.lo);
		return true;
	}

	/** `invalidate desc type iotlb high 0xffffd040 low 0x300f2`; only PASID-based IOTLB descriptors are taken here */
	private descriptor(text: string, at: number): boolean {
		const scan = this.scan;
		if (!scan.labelledHex(text, " high 0x", at)) return false;
		const { lo, hi } = scan;
		if (!scan.labelledHex(text, " low 0x", scan.end)) return false;
		if ((scan.lo & 0xf) !== PIOTLB_DESCRIPTOR) {
			this.place.ignored();
			return true;
		}
		const whole = ((scan.lo >>> 4) & 3) === PIOTLB_PASID;
		const row = this.rows.add(Kind.invalidate, this.prefix.time(), scan.lo >>> 16);
		const columns = this.rows.columns;
		columns.pasid[row] = scan.hi & 0xfffff;
		columns.flags[row] = whole ? Scope.pasid : Scope.pasidPage;
		this.pasidInvalidations++;
		if (whole) return true;
		setPair(columns.iova, row, (lo & ~0xfff) >>> 0, hi);
		setNumber(columns.size, row, 4096 * 2 ** (lo & 0x3f));
		return true;
	}

	private unreadable(text: string): void {
		this.place.damage(`cannot read "${text.slice(this.prefix.start, Math.min(this.prefix.start + 120, this.scan.limit))}"`);
	}

	end(): HostLog {
		const notes: string[] = [];
		if (this.interrupts > 0) notes.push(`${this.interrupts} DMAs into 0xFEExxxxx are interrupts and left out`);
		if (this.untranslated > 0) notes.push(`${this.untranslated} DMAs while remapping was off are left out`);
		for (const rid of this.moved) notes.push(`device 0x${rid.toString(16)} changed its domain; the last one is taken`);
		return {
			side: "host",
			architecture: "vtd",
			stage: this.firstStage() ? "first" : "second",
			rows: this.rows.columns,
			timed: this.prefix.timed,
			continued: new Set(),
			devices: this.devices,
			notes,
		};
	}

	/** First-stage tables are invalidated by PASID; without invalidations, their entries' accessed bit tells. */
	private firstStage(): boolean {
		const told = this.pasidInvalidations + this.otherInvalidations > 0;
		if (told) return this.pasidInvalidations > this.otherInvalidations;
		return this.scalable && this.accessedEntries > this.otherEntries;
	}
}
