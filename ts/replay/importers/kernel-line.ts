/**
 * The start of a line of a kernel log, in the forms of dmesg, journalctl, syslog and /dev/kmsg.
 */

/** A stamp that dmesg writes: seconds since boot, with the printing task or CPU when the kernel says so. */
const UPTIME = /\[ *(\d+\.\d+)(?: *<[^>]*>)?\](?:\[ *[TC]\d+\])? ?/;
/** dmesg --reltime: seconds since the line before */
const DELTA = /^\[ *([+<]) *(\d+\.\d+)>?\] ?/;
/** dmesg -T and journalctl: days, and seconds with a fraction or without */
const CALENDAR = /^\[?(?:(?:Mon|Tue|Wed|Thu|Fri|Sat|Sun) )?(Jan|Feb|Mar|Apr|May|Jun|Jul|Aug|Sep|Oct|Nov|Dec) +(\d+) (\d+):(\d\d):(\d\d(?:\.\d+)?)(?: (\d{4}))?\]? /;
const ISO = /^(\d{4}-\d\d-\d\d)T(\d\d:\d\d:\d\d)(?:[.,](\d+))?(Z|[+-]\d\d:?\d\d)? /;
/** /dev/kmsg: priority, number, microseconds since boot, flags; message */
const KMSG = /^\d+,\d+,(\d+),[^;]*;/;
const LEVEL = /^<\d+>/;
const HOST = /^\S+ (?:kernel|klogd|systemd-journald)(?:\[\d+\])?: /;
const MONTHS = "JanFebMarAprMayJunJulAugSepOctNovDec";

/** Reads stamps; keeps the time of the line before, for stamps that count from it. */
export class KernelLine {
	/** microseconds: since boot when the log says it, else since the epoch; null for a line without a stamp */
	time: number | null = null;
	/** the message without stamp, host and level */
	text = "";
	private before = 0;

	/** Whether `text` starts as a line of a kernel log does. */
	read(text: string): boolean {
		const rest = text.replace(LEVEL, "");
		const time = this.stamp(rest);
		if (time === null) {
			this.time = null;
			this.text = rest;
			return false;
		}
		this.time = time;
		this.before = time;
		return true;
	}

	private stamp(text: string): number | null {
		const kmsg = KMSG.exec(text);
		if (kmsg !== null) return this.rest(text, kmsg[0].length, Number(kmsg[1]));
		const delta = DELTA.exec(text);
		if (delta !== null) return this.rest(text, delta[0].length, this.before + Number(delta[2]) * 1e6);
		const wall = calendar(text);
		const after = wall === null ? text : text.slice(wall.length).replace(HOST, "");
		// the kernel's own stamp is the better one; it stands first, or just after the host
		const uptime = UPTIME.exec(after);
		if (uptime !== null && uptime.index === 0) return this.rest(after, uptime[0].length, Math.round(Number(uptime[1]) * 1e6));
		return wall === null ? null : this.rest(after, 0, wall.time);
	}

	private rest(text: string, from: number, time: number): number {
		// journalctl -o short-monotonic puts the host after the stamp
		this.text = text.slice(from).replace(HOST, "");
		return time;
	}
}

function calendar(text: string): { time: number; length: number } | null {
	const iso = ISO.exec(text);
	if (iso !== null) {
		const [all, date, clock, fraction = "", zone = "Z"] = iso;
		const seconds = Date.parse(`${date}T${clock}${zone.replace(/^([+-]\d\d)(\d\d)$/, "$1:$2")}`) / 1000;
		return Number.isNaN(seconds) ? null : { time: seconds * 1e6 + Number(fraction.padEnd(6, "0").slice(0, 6)), length: all.length };
	}
	const match = CALENDAR.exec(text);
	if (match === null) return null;
	const [all, month, day, hours, minutes, seconds, year = "2000"] = match;
	const days = Date.UTC(Number(year), MONTHS.indexOf(month) / 3, Number(day)) / 1000;
	return { time: Math.round((days + Number(hours) * 3600 + Number(minutes) * 60 + Number(seconds)) * 1e6), length: all.length };
}
