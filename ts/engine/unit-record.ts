/** What the parts of a unit share: the engine's exports and where the unit's records lie in linear memory. */
import type { ArchitectureName } from "./architecture.ts";
import type { EngineExports } from "./instantiate.ts";
import type { PhysicalMemory } from "./physical-memory.ts";
import type { Views } from "./views.ts";

export interface UnitRecord {
	readonly exports: EngineExports;
	readonly views: Views;
	/** the engine's own record */
	readonly context: number;
	/** where every request leaves its answer */
	readonly result: number;
	readonly index: number;
	readonly record: number;
	readonly architecture: ArchitectureName;
	/** what it keeps for ATS */
	readonly ats: number;
	readonly batchColumns: { readonly offset: number; readonly capacity: number };
	/** buffer of traces, shared by all units */
	readonly trace: number;
	readonly memory: PhysicalMemory;
}

export const low = (value: bigint) => Number(value & 0xffffffffn);
export const high = (value: bigint) => Number((value >> 32n) & 0xffffffffn);
