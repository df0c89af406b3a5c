/**
 * A kernel log beside the other logs of its run: its faults join a trace of the same kernel, whose clock it shares.
 */
import type { KernelLog } from "../importers/contract.ts";
import type { LoggedFault } from "../logged-fault.ts";
import { RowBuffer } from "../rows.ts";
import { Kind, NO_DEVICE, type TraceDevice } from "../trace.ts";
import type { Joined } from "./index.ts";

/** `run` with the faults of `kernel`; without a run, these alone. An emulator's log has the faults already, on a clock of its own. */
export function withKernelFaults(run: Joined | null, kernel: KernelLog, emulated: boolean): Joined & { loggedFaults: LoggedFault[] } {
	const { architecture, columns, devices, faults } = kernel;
	if (run === null) {
		const notes = [...kernel.notes, "a kernel log alone: nothing is known of what was mapped"];
		return { architecture, stage: "second", columns, devices, notes, loggedFaults: faults };
	}
	const notes = [...run.notes, ...kernel.notes];
	if (emulated) {
		if (faults.length > 0) notes.push(`${faults.length} faults of the kernel log are listed only: the QEMU log tells what its IOMMU did`);
		return { ...run, notes, loggedFaults: faults };
	}
	const merged = [...run.devices];
	const indices = devices.map((device) => indexIn(merged, device));
	const rows = new RowBuffer(Math.max(1, run.columns.length + columns.length));
	let next = 0;
	for (let row = 0; row <= run.columns.length; row++) {
		const limit = row < run.columns.length ? run.columns.time[row] : Number.POSITIVE_INFINITY;
		for (; next < columns.length && columns.time[next] < limit; next++) {
			const copied = rows.copy(columns, next);
			if (columns.id[next] !== NO_DEVICE) rows.columns.id[copied] = indices[columns.id[next]];
		}
		if (row < run.columns.length && !repeats(run, row, kernel)) rows.copy(run.columns, row);
	}
	return { ...run, architecture: run.architecture === "unknown" ? architecture : run.architecture, columns: rows.columns, devices: merged, notes, loggedFaults: faults };
}

/** Where `device` is in `devices`, to which it is added when it is new. */
function indexIn(devices: TraceDevice[], device: TraceDevice): number {
	const known = devices.findIndex(({ segment, rid }) => segment === device.segment && rid === device.rid);
	return known >= 0 ? known : devices.push(device) - 1;
}

/** Whether a row is an `io_page_fault` event, which the kernel log tells better, with its reason. */
function repeats({ columns, devices }: Joined, row: number, kernel: KernelLog): boolean {
	if (columns.kind[row] !== Kind.fault || columns.id[row] === NO_DEVICE) return false;
	const name = devices[columns.id[row]].name;
	const { columns: told, devices: known } = kernel;
	for (let i = 0; i < told.length; i++) {
		if (told.id[i] === NO_DEVICE || known[told.id[i]].name !== name) continue;
		if (told.iova[2 * i] === columns.iova[2 * row] && told.iova[2 * i + 1] === columns.iova[2 * row + 1] && Math.abs(told.time[i] - columns.time[row]) < 1e6) return true;
	}
	return false;
}
