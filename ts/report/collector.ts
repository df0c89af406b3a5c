/**
 * What a report shows, gathered beside the replay: one pass over the engine's columns, no object for an event, memory
 * that depends on the devices and not on the length of the run.
 */
import { ANSWER_DEVICE_TLB, ANSWER_FAULT, ANSWER_HIT, ANSWER_KIND_MASK, ANSWER_MATCHED, ANSWER_REFUSED, ANSWER_REPLACED } from "../../assembly/layout.ts";
import type { ReplayObserver, Stretch } from "../replay/observer.ts";
import { Access, Kind } from "../replay/trace.ts";
import { AddressMap } from "./address-map.ts";
import { Faults } from "./faults.ts";
import { LevelSamples } from "./levels.ts";
import { Windows } from "./windows.ts";

/** Devices that get an address map: the first ones of the trace. One map takes up to 320 KiB. */
const MAPPED_DEVICES = 64;

/** Counts of one device, one for each window. */
export interface DeviceSeries {
	name: string;
	/** DMAs that were looked up in the IOTLB, faulted ones too */
	lookups: Float64Array;
	hits: Float64Array;
	faults: Float64Array;
	/** null for devices beyond the first {@link MAPPED_DEVICES} */
	map: AddressMap | null;
}

/** Series of one replay. */
export class Collector implements ReplayObserver {
	/** of the unit that answered */
	architecture = "unknown";
	readonly windows = new Windows();
	/** by the trace's index of the device */
	readonly devices: DeviceSeries[] = [];
	readonly maps = this.windows.counts();
	readonly unmaps = this.windows.counts();
	readonly invalidations = this.windows.counts();
	readonly levels = new LevelSamples();
	readonly faults = new Faults();

	observe({ run, rows, from, to, time, devices }: Stretch): void {
		this.architecture = run.unit.architecture;
		while (this.devices.length < devices.length) this.addDevice(devices[this.devices.length].name);
		const { kind, id, iova, size, answer, code, flags, leaf } = rows;
		for (let row = from; row < to; row++) {
			const window = this.windows.at(time[row]);
			const what = kind[row];
			if (what === Kind.invalidate) {
				this.invalidations[window]++;
				continue;
			}
			const device = this.devices[id[row]];
			if (device === undefined) continue;
			const page = iova[2 * row + 1] * 0x10_0000 + (iova[2 * row] >>> 12);
			if (what === Kind.dma || what === Kind.fault) {
				const said = answer[row];
				// an interrupt is no look-up, neither a leaf nor a fault answers it; nor is what a device-TLB answers
				if ((leaf[row] > 0 || said & ANSWER_FAULT) && (said & ANSWER_DEVICE_TLB) === 0) device.lookups[window]++;
				if (said & ANSWER_HIT) device.hits[window]++;
				if (said & ANSWER_FAULT) {
					device.faults[window]++;
					this.faults.add(time[row], id[row], iova, row, code[row], (flags[row] & Access.write) !== 0, (said & ANSWER_KIND_MASK) === ANSWER_MATCHED);
				}
				device.map?.touch(page, window, (said & ANSWER_FAULT) !== 0);
				continue;
			}
			const bytes = size[2 * row + 1] * 0x1_0000_0000 + size[2 * row];
			const pages = Math.ceil(((iova[2 * row] & 0xfff) + bytes) / 4096);
			if (what === Kind.map) {
				this.maps[window]++;
				if (pages > 0 && (answer[row] & ANSWER_REFUSED) === 0) device.map?.map(page, pages, window, (answer[row] & ANSWER_REPLACED) !== 0);
			} else {
				this.unmaps[window]++;
				if (pages > 0) device.map?.unmap(page, pages, window);
			}
		}
		if (to > from) this.levels.add(time[to - 1], run.unit.counters());
	}

	private addDevice(name: string): void {
		const { windows } = this;
		this.devices.push({
			name,
			lookups: windows.counts(),
			hits: windows.counts(),
			faults: windows.counts(),
			map: this.devices.length < MAPPED_DEVICES ? new AddressMap(windows) : null,
		});
	}
}
