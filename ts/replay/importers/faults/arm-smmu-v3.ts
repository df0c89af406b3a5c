/**
 * SMMUv3 events: `event 0x10 received:` and the record's four words on lines of their own; since 6.14 also decoded
 * (`event: F_TRANSLATION client: 0000:00:01.0 sid: 0x8 ssid: 0x0 iova: 0x.. ipa: 0x..` and one line of attributes).
 */
import type { LoggedFault } from "../../logged-fault.ts";
import { address, type FaultFormat, printedFault } from "./contract.ts";

/** Arm SMMUv3 architecture, 7.3; `true` for those whose third word is the address of an access */
const EVENTS = new Map<number, [name: string, input: boolean]>([
	[0x01, ["F_UUT", true]],
	[0x02, ["C_BAD_STREAMID", false]],
	[0x03, ["F_STE_FETCH", false]],
	[0x04, ["C_BAD_STE", false]],
	[0x05, ["F_BAD_ATS_TREQ", true]],
	[0x06, ["F_STREAM_DISABLED", false]],
	[0x07, ["F_TRANSL_FORBIDDEN", true]],
	[0x08, ["C_BAD_SUBSTREAMID", false]],
	[0x09, ["F_CD_FETCH", false]],
	[0x0a, ["C_BAD_CD", false]],
	[0x0b, ["F_WALK_EABT", true]],
	[0x10, ["F_TRANSLATION", true]],
	[0x11, ["F_ADDR_SIZE", true]],
	[0x12, ["F_ACCESS", true]],
	[0x13, ["F_PERMISSION", true]],
	[0x20, ["F_TLB_CONFLICT", true]],
	[0x21, ["F_CFG_CONFLICT", false]],
	[0x24, ["E_PAGE_REQUEST", true]],
	[0x25, ["F_VMS_FETCH", false]],
]);
const DRIVER = "arm-smmu-v3";
const WORDS = 4;
const SSV = 1n << 11n;
const READ = 1n << 35n;

const HEADER = /event (0x[0-9a-f]{2}) received:/i;
const WORD = /: *\t? *(0x[0-9a-f]{16})\s*$/i;
const DECODED = /event: (\w+) client: (.+?) sid: (0x[0-9a-f]+|0)(?: ssid: (0x[0-9a-f]+|0))?(?:.* iova: (0x[0-9a-f]+|0)\b)?/i;
const ATTRIBUTES = /: *(?:un)?priv (?:inst|data) (read|write) s[12]\b/i;

/** Words of faults that are being read; words without a header have no known place. */
const words = new WeakMap<LoggedFault, bigint[]>();

function decode(fault: LoggedFault, record: bigint[]): void {
	const known = EVENTS.get(fault.code ?? -1);
	const [first, second, third] = record;
	fault.device = `sid 0x${(first >> 32n).toString(16)}`;
	if ((first & SSV) !== 0n) fault.pasid = Number((first >> 12n) & 0xfffffn);
	fault.incomplete = false;
	if (known?.[1] !== true) return;
	fault.access = (second & READ) !== 0n ? "read" : "write";
	fault.address = address(third.toString(16));
}

/** What three words of four tell when the first is not the first: it alone was lost. */
function decodeRest(fault: LoggedFault, rest: bigint[]): void {
	if (EVENTS.get(fault.code ?? -1)?.[1] !== true) return;
	fault.access = (rest[0] & READ) !== 0n ? "read" : "write";
	fault.address = address(rest[1].toString(16));
}

function takeDecoded(fault: LoggedFault, match: RegExpExecArray): void {
	const [, name, client, sid, ssid, iova] = match;
	fault.reason = name;
	fault.device = /^[\w.:-]+$/.test(client) ? client : `sid 0x${Number(sid).toString(16)}`;
	if (ssid !== undefined && Number(ssid) !== 0) fault.pasid = Number(ssid);
	if (iova !== undefined) fault.address = address(iova);
}

export const armSmmuV3: FaultFormat = {
	read(text) {
		const header = HEADER.exec(text);
		if (header !== null) {
			const fault = printedFault(text, header.index, DRIVER);
			fault.code = Number(header[1]);
			fault.reason = EVENTS.get(fault.code)?.[0] ?? `event ${header[1]}`;
			fault.incomplete = true;
			words.set(fault, []);
			return fault;
		}
		const decoded = DECODED.exec(text);
		if (decoded !== null) {
			const fault = printedFault(text, decoded.index, DRIVER);
			takeDecoded(fault, decoded);
			fault.code = [...EVENTS].find(([, [name]]) => name === decoded[1])?.[0] ?? null;
			return fault;
		}
		if (!/arm-smmu-v3 /.test(text)) return null;
		const word = WORD.exec(text);
		if (word === null) return null;
		const fault = printedFault(text, word.index + 1, DRIVER);
		fault.incomplete = true;
		return fault;
	},
	follow(fault, text) {
		if (fault.unit !== null && !text.includes(`${fault.unit}:`)) return false;
		const word = WORD.exec(text);
		const record = words.get(fault);
		if (word !== null) {
			if (record === undefined) return fault.code === null;
			if (record.length === WORDS) return false;
			record.push(BigInt(word[1]));
			const whole = Number(record[0] & 0xffn) === fault.code;
			if (whole && record.length === WORDS) decode(fault, record);
			if (!whole && record.length === WORDS - 1) decodeRest(fault, record);
			return whole || record.length < WORDS;
		}
		const attributes = ATTRIBUTES.exec(text);
		if (attributes !== null) {
			fault.access = attributes[1].toLowerCase() === "read" ? "read" : "write";
			return true;
		}
		const decoded = DECODED.exec(text);
		if (decoded === null || record?.length !== WORDS || decoded[1] !== fault.reason) return false;
		takeDecoded(fault, decoded);
		return true;
	},
};
