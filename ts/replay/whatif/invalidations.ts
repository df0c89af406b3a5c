/** Rows of invalidations, as strict and lazy modes of a kernel make them. */
import type { RowBuffer } from "../rows.ts";
import { setPair } from "../rows.ts";
import { type Columns, Kind, Scope, type TraceDevice } from "../trace.ts";

/** An invalidation that an unmap causes: both modes replace those that were recorded by their own. */
export function followsUnmap({ kind, flags }: Columns, row: number): boolean {
	return kind[row] === Kind.invalidate && flags[row] !== Scope.global && flags[row] !== Scope.device;
}

/** Domain that invalidations of a device's unmaps name; null when the trace never said. */
export function domainOf(devices: readonly TraceDevice[], device: number): number | null {
	return devices[device]?.domain ?? null;
}

/** Appends an invalidation of the range of row `of`. */
export function invalidateRange(rows: RowBuffer, time: number, domain: number, columns: Columns, of: number): void {
	const row = rows.add(Kind.invalidate, time, domain);
	rows.columns.flags[row] = Scope.page;
	setPair(rows.columns.iova, row, columns.iova[2 * of], columns.iova[2 * of + 1]);
	setPair(rows.columns.size, row, columns.size[2 * of], columns.size[2 * of + 1]);
}

/** Appends an invalidation of a whole domain. */
export function invalidateDomain(rows: RowBuffer, time: number, domain: number): void {
	const row = rows.add(Kind.invalidate, time, domain);
	rows.columns.flags[row] = Scope.domain;
}
