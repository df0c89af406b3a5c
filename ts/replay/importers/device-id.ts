/**
 * Devices as people write them in lists: `0000:00:01.0`, `00:01.0`, or the source id as `0x8` or `8` (bits 31:16 are the segment).
 */
import type { TraceDevice } from "../trace.ts";
import { deviceName } from "./device-name.ts";

const PCI_NAME = /^(?:([0-9a-f]{4,5}):)?([0-9a-f]{2}):([01][0-9a-f])\.([0-7])$/i;

/** Segment and RID in one number; null when `text` is no device. */
export function deviceId(text: string): number | null {
	const match = PCI_NAME.exec(text);
	if (match !== null) return Number.parseInt(match[1] ?? "0", 16) * 0x10000 + Number.parseInt(match[2], 16) * 256 + Number.parseInt(match[3], 16) * 8 + Number(match[4]);
	if (!/^(?:0x[0-9a-f]{1,8}|\d{1,10})$/i.test(text)) return null;
	const id = Number(text);
	return id <= 0xffffffff ? id : null;
}

/** A list of devices that grows by their ids as they are written. */
export class DeviceIds {
	readonly devices: TraceDevice[] = [];
	private readonly byText = new Map<string, number>();
	private readonly byId = new Map<number, number>();

	/** The index of a device; -1 when `text` names none. */
	index(text: string): number {
		const known = this.byText.get(text);
		if (known !== undefined) return known;
		const id = deviceId(text);
		if (id === null) return -1;
		let index = this.byId.get(id);
		if (index === undefined) {
			const segment = Math.floor(id / 0x10000);
			const rid = id & 0xffff;
			index = this.devices.push({ segment, rid, name: deviceName(segment, rid), domain: null, levels: null }) - 1;
			this.byId.set(id, index);
		}
		// a slice of a line would hold on to the whole chunk of text
		this.byText.set(Array.from(text).join(""), index);
		return index;
	}
}
