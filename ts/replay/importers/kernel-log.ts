/**
 * Kernel logs (dmesg, journalctl, syslog, /dev/kmsg, pasted text): the faults that IOMMU drivers print, as rows and in words.
 *
 * A fault over several lines is one fault, also when lines of others stand between. A line that mail broke at its end is read together
 * with the next. Quoted-printable text (`=3D`) is read too.
 */
import type { LoggedFault } from "../logged-fault.ts";
import { RowBuffer, setNumber, setPair } from "../rows.ts";
import { Access, Kind, NO_DEVICE, NO_PASID, type TraceDevice } from "../trace.ts";
import { type Importer, type KernelLog, type LineParser, type Place, share } from "./contract.ts";
import { deviceName } from "./device-name.ts";
import type { FaultFormat } from "./faults/contract.ts";
import { faultFormats } from "./faults/index.ts";
import { KernelLine } from "./kernel-line.ts";

const STAMPED = /^(?:<\d+>)?(?:\[ *[+<]? *\d+\.\d+|\d+,\d+,\d+,[^;]*;|\[(?:Mon|Tue|Wed|Thu|Fri|Sat|Sun) |(?:[A-Z][a-z]{2} +\d+ [\d:.]+|\d{4}-\d\d-\d\dT[\d:.,+-]+) \S+ kernel: |\d{4}-\d\d-\d\dT[\d:.,+-]+ (?![^\s:]+ [\w.-]+(?:\[\d+\])?: ))/;
/** messages of IOMMU drivers, pasted without stamps */
const DRIVER = /\b(?:DMAR|AMD-Vi|INTR-REMAP): ?|\b(?:arm-smmu(?:-v3)?|[\w,-]+[-_]iommu|iommu|[\w-]+-sysmmu) [\w.:-]+: |nhandled context fault|io_page_fault: IOMMU:|\[IO_PAGE_FAULT /;

export const kernelLog: Importer = {
	name: "kernel-log",
	title: "kernel log",
	lastLine: "whole",
	recognise: (head) => Math.max(share(head, STAMPED), share(head, DRIVER)),
	open: (place) => new KernelLogParser(place),
};

/** A fault whose further lines may still come. */
interface Open {
	fault: LoggedFault;
	format: FaultFormat;
	/** what was read of it, while it is incomplete and may go on without a stamp */
	text: string;
	line: number;
}

/** Lines that may stand between the lines of one fault. */
const BETWEEN = 32;
/** faults kept in words */
const KEPT = 1000;
/** A line of mail is broken at most this often. */
const LONGEST = 600;

class KernelLogParser implements LineParser {
	private readonly place: Place;
	private readonly prefix = new KernelLine();
	private readonly rows = new RowBuffer(1 << 8);
	private readonly open: Open[] = [];
	private readonly faults: LoggedFault[] = [];
	private readonly devices: TraceDevice[] = [];
	private readonly indexByName = new Map<string, number>();
	private readonly drivers = new Set<string>();
	private lines = 0;
	private count = 0;
	private incomplete = 0;
	private withoutAddress = 0;
	private noAccess = 0;
	private others = 0;

	constructor(place: Place) {
		this.place = place;
	}

	line(raw: string): void {
		this.lines++;
		while (this.open.length > 0 && this.open[0].line < this.lines - BETWEEN) this.close(this.open.shift() as Open);
		const stamped = this.prefix.read(raw);
		const text = unquoted(this.prefix.text);
		if (this.follows(text) || (!stamped && this.goesOn(text))) return;
		for (const format of faultFormats) {
			const fault = format.read(text);
			if (fault === null) continue;
			fault.time = this.prefix.time;
			this.drivers.add(fault.driver);
			this.open.push({ fault, format, text, line: this.lines });
			return;
		}
		this.place.ignored();
	}

	/** Whether this is a further line of a fault, the latest first. */
	private follows(text: string): boolean {
		for (let i = this.open.length - 1; i >= 0; i--) {
			const { fault, format } = this.open[i];
			if (format.follow?.(fault, text) !== true) continue;
			this.open[i].line = this.lines;
			return true;
		}
		return false;
	}

	/** Whether this is the rest of the line before, which was cut. */
	private goesOn(text: string): boolean {
		const last = this.open.at(-1);
		if (last === undefined || !last.fault.incomplete || last.line !== this.lines - 1 || last.text.length > LONGEST || text.trim() === "") return false;
		if (faultFormats.some((format) => format.read(text) !== null)) return false;
		// a soft break falls anywhere, another one at a space
		const joined = last.text.endsWith("=") ? last.text.slice(0, -1) + text.trimStart() : `${last.text.trimEnd()} ${text.trimStart()}`;
		const fault = last.format.read(joined);
		if (fault === null || told(fault) <= told(last.fault)) return false;
		fault.time = last.fault.time;
		last.fault = fault;
		last.text = joined;
		last.line = this.lines;
		return true;
	}

	private close({ fault }: Open): void {
		this.count++;
		if (this.faults.length < KEPT) this.faults.push(owned(fault));
		if (fault.incomplete) this.incomplete++;
		if (fault.noAccess) this.noAccess++;
		else if (fault.address === null) this.withoutAddress++;
		else this.addRow(fault, BigInt(fault.address));
	}

	private addRow(fault: LoggedFault, at: bigint): void {
		const rows = this.rows;
		const before = rows.length === 0 ? 0 : rows.columns.time[rows.length - 1];
		const row = rows.add(Kind.fault, Math.max(before, fault.time ?? before), fault.device === null ? NO_DEVICE : this.device(fault));
		const { columns } = rows;
		columns.flags[row] = fault.access === null ? Access.any : Access[fault.access];
		columns.pasid[row] = fault.pasid ?? NO_PASID;
		setPair(columns.iova, row, Number(at & 0xffffffffn), Number(at >> 32n));
		setNumber(columns.size, row, 1);
		setNumber(columns.pa, row, fault.code ?? 0);
	}

	/** The index of the fault's device. What is not on PCI is numbered downwards from the end of a segment that PCI cannot have. */
	private device(fault: LoggedFault): number {
		const printed = fault.device as string;
		const match = PCI.exec(printed);
		const rid = match === null ? 0xffff - this.others : Number.parseInt(match[2], 16) * 256 + Number.parseInt(match[3], 16) * 8 + Number(match[4]);
		const segment = match === null ? NOT_PCI : Number.parseInt(match[1] ?? "0", 16);
		const name = match === null ? [fault.unit, printed].filter((part) => part !== null).join(" ") : deviceName(segment, rid);
		const known = this.indexByName.get(name);
		if (known !== undefined) return known;
		if (match === null) this.others++;
		const index = this.devices.push({ segment, rid, name, domain: null, levels: null }) - 1;
		this.indexByName.set(name, index);
		return index;
	}

	end(): KernelLog {
		for (const open of this.open) this.close(open);
		const notes: string[] = [];
		if (this.incomplete > 0) notes.push(`${this.incomplete} of the kernel's ${this.count} faults are incomplete: their lines are cut, or some are missing`);
		if (this.withoutAddress > 0) notes.push(`${this.withoutAddress} of the kernel's faults have no address and are no events`);
		if (this.noAccess > 0) notes.push(`${this.noAccess} of the kernel's messages are of an IOMMU's own errors or of interrupts and are no events`);
		if (this.count > KEPT) notes.push(`only the first ${KEPT} of the kernel's ${this.count} faults are kept in words`);
		return { side: "kernel", architecture: this.architecture(), columns: this.rows.columns, devices: this.devices, faults: this.faults, notes };
	}

	private architecture(): KernelLog["architecture"] {
		if (this.drivers.size !== 1) return "unknown";
		if (this.drivers.has("DMAR")) return "vtd";
		return this.drivers.has("arm-smmu-v3") ? "smmuv3" : "unknown";
	}
}

const PCI = /^(?:([0-9a-f]{4,}):)?([0-9a-f]{2}):([0-9a-f]{2})\.([0-7])$/i;
const NOT_PCI = 0x10000;

/** The fault in strings of its own: slices of a line would hold on to the whole chunk of text. */
function owned(fault: LoggedFault): LoggedFault {
	const own = (text: string | null) => (text === null ? null : Array.from(text).join(""));
	return { ...fault, driver: own(fault.driver) as string, unit: own(fault.unit), device: own(fault.device), reason: own(fault.reason) };
}

/** How much is known of a fault. */
function told(fault: LoggedFault): number {
	return [fault.device, fault.address, fault.reason, fault.code, fault.pasid].filter((field) => field !== null).length + (fault.incomplete ? 0 : 1);
}

/** Quoted-printable equals signs; the soft break at the end of a line stays, it marks the cut. */
function unquoted(text: string): string {
	return text.includes("=3D") ? text.replace(/=3D(?=0x|\d|[\w:.]+)/g, "=") : text;
}

/** The fault that a single line tells; null when it tells none. */
export function readFaultLine(raw: string): LoggedFault | null {
	const prefix = new KernelLine();
	prefix.read(raw);
	const text = unquoted(prefix.text);
	for (const format of faultFormats) {
		const fault = format.read(text);
		if (fault !== null) return { ...fault, time: prefix.time };
	}
	return null;
}
