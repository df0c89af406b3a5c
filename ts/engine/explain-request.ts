/** A translation with its trace. */
import { NO_PASID, RESULT_STATUS, TRACE_RECORDS } from "../../assembly/layout.ts";
import { EngineError } from "./errors.ts";
import { type Explanation, explainTrace } from "./explain.ts";
import { WORDS } from "./fields/index.ts";
import { readRegister } from "./registers.ts";
import { accessBits, type TranslateOptions } from "./request.ts";
import { readTranslation, type Translation } from "./translation.ts";
import { high, low, type UnitRecord } from "./unit-record.ts";

/** See Unit.explain. */
export function explainRequest(unit: UnitRecord, rid: number, address: bigint, options: TranslateOptions): Explanation<Translation> {
	const { exports, views, context, result, index, record, architecture, trace, memory } = unit;
	const { pasid = NO_PASID, length = 1, type = "untranslated" } = options;
	if ((address & 0xfffn) + BigInt(length) > 0x1000n || address < 0n || address >= 1n << 64n) {
		throw new EngineError("OutOfRange", "a request has a 64-bit address and stays in its 4 KiB page", { operation: "Unit.explain", object: `unit ${index}`, first: address, last: address + BigInt(length) - 1n });
	}
	const bits = accessBits(options);
	const count = exports.explain(context, record, trace, TRACE_RECORDS, rid, pasid, low(address), high(address), bits);
	const view = views.data();
	const source = {
		view,
		offset: trace,
		count,
		words: WORDS[architecture],
		register: (name: string) => readRegister(unit, name),
		read: (at: bigint, bytes: number) => {
			try {
				return memory.read(at, bytes);
			} catch {
				return undefined;
			}
		},
		classify: (geometry: number, level: number, entry: bigint) => exports.classify(context, geometry, level, low(entry), high(entry)),
	};
	return explainTrace(source, architecture, readTranslation(view, result, view.getUint32(result + RESULT_STATUS, true), type), bits);
}
