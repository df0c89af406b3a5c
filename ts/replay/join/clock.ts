/**
 * Guest time to host time, by anchors. The emulator acts after the guest's event, by a delay that varies, so an anchor's
 * difference is the clocks' difference plus a delay, and the smallest of many comes nearest to the clocks' difference alone.
 */
import type { Columns } from "../trace.ts";

/** How many anchors on each side of a moment are asked for the smallest difference; the nearest alone is too late for some maps. */
const AROUND = 50;

/** Translates guest times by anchors sorted by guest time. */
export class Clock {
	private readonly guest: Float64Array;
	private readonly host: Float64Array;
	private readonly back: number;

	/**
	 * `guest` rises; `host` is made to rise, since an anchor may have been written late. Where the host has no clock of its own,
	 * differences say nothing: then the earliest moment is the anchor `back` before.
	 */
	constructor(guest: Float64Array, host: Float64Array, back = 0) {
		this.guest = guest;
		this.back = back;
		this.host = host.slice();
		for (let i = 1; i < host.length; i++) this.host[i] = Math.max(this.host[i], this.host[i - 1]);
	}

	/** Where a guest event that the emulator had to act on falls: between its neighbours, in proportion. */
	at(time: number): number {
		const { guest, host } = this;
		const next = lowerBound(guest, time);
		if (next === 0) return time + host[0] - guest[0];
		const last = next - 1;
		if (next === guest.length) return time + host[last] - guest[last];
		const span = guest[next] - guest[last];
		return span === 0 ? host[next] : host[last] + ((time - guest[last]) / span) * (host[next] - host[last]);
	}

	/** Where a guest event falls at the latest: for rough clocks at the next anchor. */
	latest(time: number): number {
		const { guest, host } = this;
		if (this.back === 0) return this.at(time);
		const next = lowerBound(guest, time);
		return next === guest.length ? Number.POSITIVE_INFINITY : host[next];
	}

	/** How far apart the anchors around a guest time are, in microseconds. */
	gap(time: number): number {
		const { guest } = this;
		const next = lowerBound(guest, time);
		return next === 0 || next === guest.length ? 0 : guest[next] - guest[next - 1];
	}

	/** The earliest host time that is plausible for a guest event. */
	earliest(time: number): number {
		const { guest, host } = this;
		const middle = lowerBound(guest, time);
		if (this.back > 0) return middle < this.back ? Number.NEGATIVE_INFINITY : host[middle - this.back];
		const end = Math.min(guest.length, middle + AROUND);
		let least = Number.POSITIVE_INFINITY;
		for (let i = Math.max(0, middle - AROUND); i < end; i++) least = Math.min(least, host[i] - guest[i]);
		return time + least;
	}
}

/** Gives every row a time: that of the anchor at its index in `at`, and in proportion between anchors. */
export function timeRows(rows: Columns, at: Float64Array, times: Float64Array): void {
	const clock = new Clock(at, times);
	for (let row = 0, now = Number.NEGATIVE_INFINITY; row < rows.length; row++) {
		now = Math.max(now, clock.at(row));
		rows.time[row] = now;
	}
}

/** The first index whose value is not below `value`. */
export function lowerBound(values: Float64Array, value: number, length = values.length): number {
	let from = 0;
	let to = length;
	while (from < to) {
		const middle = (from + to) >>> 1;
		if (values[middle] < value) from = middle + 1;
		else to = middle;
	}
	return from;
}
