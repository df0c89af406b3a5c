/**
 * QEMU's SMMUv3 trace log (`smmuv3_*` and `smmu_*` events).
 *
 * A translation is `smmuv3_translate_success`, preceded by `smmu_iotlb_lookup_hit` or `_miss` with the ASID. One TLBI command
 * over a range is logged as several `range_inval` lines, each a power of two of pages.
 */
import { RowBuffer, setNumber, setPair } from "../rows.ts";
import { Scanner } from "../scan.ts";
import { Access, Kind, Scope, Verdict } from "../trace.ts";
import { type HostDevice, type HostLog, type Importer, type LineParser, type Place, share } from "./contract.ts";
import { QemuLine } from "./qemu-line.ts";

export const qemuSmmuv3: Importer = {
	name: "qemu-smmuv3",
	title: "QEMU SMMUv3 trace log",
	lastLine: "cut",
	recognise: (head) => share(head, /^(\d+@\d+\.\d+:)?smmu(v3)?_[a-z0-9_]+ /, /^(\d+@\d+\.\d+:)?[a-z0-9_]+ /),
	open: (place) => new SmmuParser(place),
};

const NO_TAG = -1;
/** `perm=` is what the entry allows, so 3 leaves open what the device did */
const ACCESS_BY_PERMISSION = [Access.any, Access.read, Access.write, Access.any];

class SmmuParser implements LineParser {
	private readonly place: Place;
	private readonly prefix = new QemuLine();
	private readonly scan = new Scanner();
	private readonly rows = new RowBuffer();
	private readonly devices = new Map<number, HostDevice>();
	private readonly continued = new Set<number>();
	private verdict: number = Verdict.none;
	private lookupPage = 0;
	private asid = NO_TAG;
	/** the byte after the last invalidated range and its ASID, until the command queue syncs */
	private rangeEnd = -1;
	private rangeTag = NO_TAG;
	private faultEvents = 0;

	constructor(place: Place) {
		this.place = place;
	}

	line(text: string): void {
		this.prefix.read(text);
		const at = this.prefix.start;
		let read = true;
		if (text.startsWith("smmuv3_translate_success ", at)) read = this.translate(text, at + 25);
		else if (text.startsWith("smmu_iotlb_lookup_hit ", at)) read = this.lookup(text, at, Verdict.hit);
		else if (text.startsWith("smmu_iotlb_lookup_miss ", at)) read = this.lookup(text, at, Verdict.miss);
		else if (text.startsWith("smmuv3_s1_range_inval ", at) || text.startsWith("smmuv3_range_inval ", at)) read = this.range(text, at);
		else if (text.startsWith("smmu_iotlb_inv_all", at)) this.invalidate(Scope.global, 0);
		else if (text.startsWith("smmu_iotlb_inv_asid", at)) {
			const asid = this.scan.labelledNumber(text, "asid=", at + 19);
			read = asid >= 0;
			if (read) this.invalidate(Scope.domain, asid);
		} else this.other(text, at);
		if (!read) this.place.damage(`cannot read "${text.slice(at, at + 120)}"`);
	}

	private other(text: string, at: number): void {
		if (text.startsWith("smmuv3_cmdq_opcode ", at) && text.endsWith("CMD_SYNC")) this.rangeEnd = -1;
		else if (text.startsWith("smmuv3_record_event F_", at)) this.faultEvents++;
		this.place.ignored();
	}

	/** `smmuv3-iommu-memory-region-8-1 sid=0x8 iova=0xffffd000 translated=0x4efd3000 perm=0x3`; older QEMU has the sid in decimal */
	private translate(text: string, at: number): boolean {
		const scan = this.scan;
		const sid = scan.labelledNumber(text, "sid=", at);
		if (sid < 0 || !scan.labelledHex(text, " iova=0x", scan.end)) return false;
		const { lo, hi } = scan;
		const page = hi * 0x10_0000 + (lo >>> 12);
		if (!scan.labelledHex(text, " translated=0x", scan.end)) return false;
		const paLow = scan.lo;
		const paHigh = scan.hi;
		if (!scan.labelledHex(text, " perm=0x", scan.end)) return false;
		const device = this.device(sid);
		const row = this.rows.add(Kind.dma, this.prefix.time(), sid);
		const columns = this.rows.columns;
		columns.flags[row] = ACCESS_BY_PERMISSION[scan.lo & 3];
		setPair(columns.iova, row, lo, hi);
		setPair(columns.size, row, 4096, 0);
		setPair(columns.pa, row, paLow, paHigh);
		if (this.verdict !== Verdict.none && this.lookupPage === page) {
			columns.verdict[row] = this.verdict;
			device.domain = this.asid;
		}
		this.verdict = Verdict.none;
		return true;
	}

	private device(sid: number): HostDevice {
		let device = this.devices.get(sid);
		if (device === undefined) {
			device = { domain: null, levels: null };
			this.devices.set(sid, device);
		}
		return device;
	}

	/** `IOTLB cache HIT asid=3 addr=0xffffd000 hit=1 miss=4 hit rate=20`; newer QEMU puts `vmid=` between */
	private lookup(text: string, at: number, verdict: number): boolean {
		const scan = this.scan;
		const asid = scan.labelledNumber(text, " asid=", at);
		if (asid < 0 || !scan.labelledHex(text, " addr=0x", scan.end)) return false;
		this.asid = asid;
		this.lookupPage = scan.hi * 0x10_0000 + (scan.lo >>> 12);
		this.verdict = verdict;
		return true;
	}

	/** `vmid=0 asid=3 addr=0xffffc000 tg=1 num_pages=0x1 ttl=3 leaf=1` */
	private range(text: string, at: number): boolean {
		const scan = this.scan;
		const asid = scan.labelledNumber(text, " asid=", at);
		if (asid < 0 || !scan.labelledHex(text, " addr=0x", scan.end)) return false;
		const { lo, hi } = scan;
		const granule = scan.labelledNumber(text, " tg=", scan.end);
		if (granule < 0) return false;
		const pages = scan.labelledNumber(text, " num_pages=", scan.end);
		if (pages < 0) return false;
		// TG: 1 is 4 KiB, 2 is 16 KiB, 3 is 64 KiB; 0 is a command without a range, for one 4 KiB page
		const size = pages * (granule === 0 ? 4096 : 2 ** (10 + 2 * granule));
		const row = this.invalidate(Scope.page, asid);
		setPair(this.rows.columns.iova, row, lo, hi);
		setNumber(this.rows.columns.size, row, size);
		const start = hi * 0x1_0000_0000 + lo;
		if (start === this.rangeEnd && asid === this.rangeTag) this.continued.add(row);
		this.rangeEnd = start + size;
		this.rangeTag = asid;
		return true;
	}

	private invalidate(scope: number, asid: number): number {
		const row = this.rows.add(Kind.invalidate, this.prefix.time(), asid);
		this.rows.columns.flags[row] = scope;
		return row;
	}

	end(): HostLog {
		const notes: string[] = [];
		if (this.faultEvents > 0) notes.push(`${this.faultEvents} recorded SMMU fault events carry no address and are left out`);
		return {
			side: "host",
			architecture: "smmuv3",
			stage: "first",
			rows: this.rows.columns,
			timed: this.prefix.timed,
			continued: this.continued,
			devices: this.devices,
			notes,
		};
	}
}
