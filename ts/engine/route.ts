/** Routes of requesters: what a unit's device tables say of them. */
import {
	EDIT_NO_FRAME,
	EDIT_OK,
	GEOMETRY_FLAGS,
	GEOMETRY_FORMAT,
	GEOMETRY_GRANULE,
	GEOMETRY_INPUT_BITS,
	GEOMETRY_OUTPUT_BITS,
	GEOMETRY_ROOT,
	GEOMETRY_TOP,
	NO_PASID,
	ROUTE_BLOCKED,
	ROUTE_BYPASS,
	ROUTE_FIRST,
	ROUTE_NESTED,
	ROUTE_SECOND,
} from "../../assembly/layout.ts";
import { EngineError } from "./errors.ts";
import { PageTable } from "./page-table.ts";
import { TABLE_FORMATS, type TableFormatName } from "./page-table-formats.ts";
import type { UnitRecord } from "./unit-record.ts";

/** A first-stage table that somebody else keeps, a guest say: where its root is, as the stage below it sees that. */
export interface ForeignTable {
	format: TableFormatName;
	root: bigint;
	levels: number;
}

/** What `Unit.setRoute` installs for a requester. */
export type RouteConfig = { /** of one PASID instead of requests without */ pasid?: number } & (
	| { type: "blocked" }
	| { type: "bypass"; domain: number }
	| { type: "first-stage"; domain: number; table: PageTable | ForeignTable }
	| { type: "second-stage"; domain: number; table: PageTable }
	/** `first` lies where `second` maps its root */
	| { type: "nested"; domain: number; first: PageTable | ForeignTable; second: PageTable }
);

/** Address of a geometry: a table's own, or one made for the call where translations leave their result. */
function geometry({ views, result }: UnitRecord, table: PageTable | ForeignTable): number {
	if (table instanceof PageTable) return table.record;
	const view = views.data();
	const format = TABLE_FORMATS[table.format];
	view.setBigUint64(result + GEOMETRY_ROOT, table.root, true);
	view.setUint32(result + GEOMETRY_FORMAT, format.code, true);
	view.setUint32(result + GEOMETRY_TOP, table.levels - 1, true);
	view.setUint32(result + GEOMETRY_FLAGS, format.flags, true);
	view.setUint32(result + GEOMETRY_GRANULE, format.leaves[0], true);
	view.setUint32(result + GEOMETRY_INPUT_BITS, format.inputBits(table.levels), true);
	view.setUint32(result + GEOMETRY_OUTPUT_BITS, format.outputBits, true);
	return result;
}

/** See Unit.setRoute. */
export function setRoute(unit: UnitRecord, rid: number, route: RouteConfig): void {
	const { exports, context, index, record } = unit;
	const types = { blocked: ROUTE_BLOCKED, bypass: ROUTE_BYPASS, "second-stage": ROUTE_SECOND, "first-stage": ROUTE_FIRST, nested: ROUTE_NESTED };
	const domain = route.type === "blocked" ? 0 : route.domain;
	const first = route.type === "first-stage" ? geometry(unit, route.table) : route.type === "nested" ? geometry(unit, route.first) : 0;
	const second = route.type === "second-stage" ? route.table.record : route.type === "nested" ? route.second.record : 0;
	const code = exports.setRoute(context, record, rid, route.pasid ?? NO_PASID, types[route.type], domain, first, second);
	if (code === EDIT_OK) return;
	throw new EngineError(code === EDIT_NO_FRAME ? "OutOfFrames" : "Unsupported", "the route cannot be written", {
		operation: "Unit.setRoute",
		object: `unit ${index}, rid 0x${rid.toString(16)}${route.pasid === undefined ? "" : `, pasid ${route.pasid}`}`,
		...(code === EDIT_NO_FRAME ? { knob: "tables.frames" } : {}),
	});
}
