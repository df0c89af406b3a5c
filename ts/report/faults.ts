/** Faults of a replay: kinds of them counted, the first ones kept, in columns. */
import { hexAt } from "../replay/history/words.ts";

/** Faults that are kept one by one. */
const KEPT = 500;
/** Kinds that are counted apart; further ones are one kind. */
const KINDS = 1000;

/** Faults of one device for one reason, reads apart from writes. */
export interface FaultKind {
	/** index of the device; -1: all kinds beyond the first {@link KINDS} */
	device: number;
	/** the architecture's code */
	reason: number;
	write: boolean;
	count: number;
	/** how many of them the recorder saw too, with the same reason */
	matched: number;
	/** microseconds */
	first: number;
	last: number;
	/** address of the first, hexadecimal */
	address: string;
}

/** The first faults, one index each. */
export interface FaultColumns {
	time: number[];
	device: number[];
	/** hexadecimal */
	address: string[];
	reason: number[];
	write: boolean[];
	matched: boolean[];
}

export class Faults {
	readonly kinds: FaultKind[] = [];
	readonly list: FaultColumns = { time: [], device: [], address: [], reason: [], write: [], matched: [] };
	total = 0;
	/** all kinds beyond the first ones */
	private rest: FaultKind | null = null;
	private readonly byKey = new Map<number, FaultKind>();

	/** The address is that of `row` in `iova`. */
	add(time: number, device: number, iova: Uint32Array, row: number, reason: number, write: boolean, matched: boolean): void {
		this.total++;
		const key = device * 0x2_0000 + reason * 2 + Number(write);
		const kind = this.byKey.get(key) ?? this.open(key, time, device, hexAt(iova, row), reason, write);
		kind.count++;
		kind.last = time;
		if (matched) kind.matched++;
		const { list } = this;
		if (list.time.length === KEPT) return;
		list.time.push(time);
		list.device.push(device);
		list.address.push(hexAt(iova, row));
		list.reason.push(reason);
		list.write.push(write);
		list.matched.push(matched);
	}

	private open(key: number, first: number, device: number, address: string, reason: number, write: boolean): FaultKind {
		const kind: FaultKind = { device, reason, write, count: 0, matched: 0, first, last: first, address };
		if (this.kinds.length < KINDS) this.byKey.set(key, kind);
		else if (this.rest !== null) return this.rest;
		else {
			kind.device = -1;
			this.rest = kind;
		}
		this.kinds.push(kind);
		return kind;
	}
}
