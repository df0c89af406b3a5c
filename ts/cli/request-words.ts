import type { TranslateOptions } from "../engine/index.ts";

const hex = (value: bigint | number) => `0x${value.toString(16)}`;

/** A request in words: "write of 0x1000 by 00:01.0 (0x8), PASID 3". */
export function requestWords(rid: number, address: bigint, { access = "read", pasid, privileged }: TranslateOptions): string {
	const function_ = `${(rid >> 8).toString(16).padStart(2, "0")}:${((rid >> 3) & 31).toString(16).padStart(2, "0")}.${rid & 7}`;
	const who = rid <= 0xffff ? `${function_} (${hex(rid)})` : hex(rid);
	return `${privileged ? "privileged " : ""}${access} of ${hex(address)} by ${who}${pasid === undefined ? "" : `, PASID ${hex(pasid)}`}`;
}
