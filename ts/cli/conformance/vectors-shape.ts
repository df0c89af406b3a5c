/** The shape of vector files (golden answers to single requests). */
export type VectorNumber = string | number;

export interface VectorRequest {
	rid?: number;
	device_id?: number;
	pasid?: number | null;
	process_id?: number | null;
	priv?: boolean;
	iova: VectorNumber;
	length?: number;
	access: "r" | "w" | "x";
	/** QEMU files; absent where everything in `expect` is enforced */
	enforce?: string;
	code_alternatives?: number[];
	expect: { status: string; pa?: VectorNumber; code?: number; cause?: number; name?: string; quirk?: unknown };
	/** entries that hardware wrote: address, bytes */
	pte_after?: Array<[VectorNumber, string]>;
}

export interface VectorCase {
	id: string;
	memory: Array<[VectorNumber, string]>;
	registers?: Record<string, VectorNumber>;
	space?: { haw?: number } | null;
	requests: VectorRequest[];
}

export interface VectorFile {
	arch: string;
	ram?: Array<[VectorNumber, VectorNumber]>;
	cases: VectorCase[];
}
