/**
 * One list of devices out of the two logs: the guest knows names and segments, the emulator RIDs, domains and levels.
 */
import type { HostLog } from "../importers/contract.ts";
import { deviceName } from "../importers/device-name.ts";
import type { GuestDevice, GuestLog } from "../importers/guest-log.ts";
import { NO_DEVICE, type TraceDevice } from "../trace.ts";
import type { Ownership } from "./ownership.ts";

/** The devices of a trace, by segment and RID, and the way there from both sides' ids. */
export interface DeviceList {
	devices: TraceDevice[];
	/** index by RID as the emulator logs it */
	ofRid(rid: number): number;
	/** index by the guest log's device index; NO_DEVICE for nobody and for what is not on PCI */
	ofGuest(device: number): number;
	/** the RID under which the emulator logs a device of the guest; null for what is not on PCI */
	hostRid(device: number): number | null;
}

/** Lists every device that the emulator saw, and every device of the guest that maps or unmaps something. */
export function listDevices(guest: GuestLog | null, owners: Ownership | null, host: HostLog | null): DeviceList {
	const byKey = new Map<number, TraceDevice>();
	const segmentOfRid = new Map<number, number>();
	for (const device of mappingDevices(guest, owners)) {
		const rid = device.rid as number;
		// a device behind a bridge does not give its name to the id that it shares
		const name = device.name.endsWith(deviceName(device.segment, rid).slice(-7)) ? device.name : deviceName(device.segment, rid);
		byKey.set(keyOf(device.segment, rid), { segment: device.segment, rid, name, domain: null, levels: null });
		segmentOfRid.set(rid, Math.min(device.segment, segmentOfRid.get(rid) ?? device.segment));
	}
	for (const [rid, known] of host?.devices ?? []) {
		// the emulator logs no segment: the guest's device with this RID is meant
		const segment = segmentOfRid.get(rid) ?? 0;
		const device = byKey.get(keyOf(segment, rid)) ?? { segment, rid, name: deviceName(segment, rid), domain: null, levels: null };
		byKey.set(keyOf(segment, rid), { ...device, domain: known.domain, levels: known.levels });
	}
	const keys = [...byKey.keys()].sort((a, b) => a - b);
	const index = new Map(keys.map((key, position) => [key, position]));
	return {
		devices: keys.map((key) => byKey.get(key) as TraceDevice),
		ofRid: (rid) => index.get(keyOf(segmentOfRid.get(rid) ?? 0, rid)) ?? NO_DEVICE,
		hostRid: (device) => guest?.devices[device]?.rid ?? null,
		ofGuest: (device) => {
			const named = device < 0 ? undefined : guest?.devices[device];
			return named === undefined || named.rid === null ? NO_DEVICE : (index.get(keyOf(named.segment, named.rid)) ?? NO_DEVICE);
		},
	};
}

function keyOf(segment: number, rid: number): number {
	return segment * 0x10000 + rid;
}

function mappingDevices(guest: GuestLog | null, owners: Ownership | null): GuestDevice[] {
	if (guest === null || owners === null) return [];
	const seen = new Set(owners.device);
	return guest.devices.filter((device, index) => device.rid !== null && seen.has(index));
}
