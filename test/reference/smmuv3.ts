/**
 * SMMUv3 (IHI 0070): one Non-secure transaction (ordinary, an ATS translation request, or an ATS translated transaction:
 * 3.9.1.2, 3.9.1.3), from the registers to its output address or its event, in the order of 7.3.22. No cache is modelled, so F_TLB_CONFLICT (0x20) and F_CFG_CONFLICT (0x21), which
 * are the caches' own, are never raised here; nor F_UUT (0x01) and E_PAGE_REQUEST (0x24), which are the client's.
 *
 * Where the architecture leaves a choice (CONSTRAINED UNPREDICTABLE), this takes:
 *   - an STE or L1STD address above OAS: F_STE_FETCH (3.4.3 note 5);
 *   - S1ContextPtr out of range: C_BAD_STE with and without stage 2 (note 2); L1CD.L2Ptr: C_BAD_SUBSTREAMID (note 4);
 *   - RES0 bits that table alignment asks for: taken as zero (5.2 S1Fmt, 6.3.24);
 *   - a leaf that fails permission does not get AF set (3.13.2);
 *   - a contiguous set that contradicts itself: each entry for itself (D8.7.1).
 */
import type { Memory, Request, Result } from "./contract.ts";
import { CLASS, EVENT } from "./smmuv3-events.ts";
import { type Capabilities, capabilities, type SmmuRegisters } from "./smmuv3-registers.ts";
import {
	type Cd,
	cdIllegal,
	decodeCd,
	decodeSte,
	type Ste,
	stage1Geometry,
	stage1On,
	stage2Geometry,
	stage2On,
	steIllegal,
	streamWorld,
} from "./smmuv3-tables.ts";
import { type VmsaAccess, type VmsaWalk, walkVmsav8 } from "./smmuv3-walk.ts";

export { CLASS, EVENT, encodeEvent } from "./smmuv3-events.ts";
export type { SmmuRegisters } from "./smmuv3-registers.ts";

/** Event of a walk's outcome. */
function eventOf(walk: VmsaWalk): number {
	switch (walk.outcome) {
		case "not-present":
			return EVENT.F_TRANSLATION;
		case "address-size":
			return EVENT.F_ADDR_SIZE;
		case "update-refused":
			return EVENT.F_ACCESS;
		case "access-error":
		case "poison":
			return EVENT.F_WALK_EABT;
		default:
			return EVENT.F_PERMISSION;
	}
}

type Fields = Result["fields"];

export interface SmmuRequest extends Request {
	/** untranslated when absent */
	type?: "untranslated" | "translation" | "translated";
	/** of a translation request: No Write */
	noWrite?: boolean;
}

/** One transaction under way. */
class Transaction {
	readonly writes: Result["writes"] = [];
	readonly memory: Memory;
	readonly cap: Capabilities;
	readonly registers: SmmuRegisters;
	readonly request: SmmuRequest;
	/** after STE.PRIVCFG and INSTCFG */
	access: "r" | "w" | "x";
	privileged: boolean;

	constructor(memory: Memory, registers: SmmuRegisters, request: SmmuRequest) {
		this.memory = {
			read: (pa, bytes) => memory.read(pa, bytes),
			write: (pa, bytes, value) => {
				const taken = memory.write(pa, bytes, value);
				if (taken) {
					this.writes.push({ pa, bytes, value });
				}
				return taken;
			},
		};
		this.registers = registers;
		this.cap = capabilities(registers);
		this.request = request;
		// without a PASID a PCIe request of ATS has neither execute nor privilege
		const plain = request.pasid === null && (request.type ?? "untranslated") !== "untranslated";
		this.access = plain && request.access === "x" ? "r" : request.access;
		this.privileged = request.privileged && !plain;
	}

	fault(code: number, fields: Fields, asked = true): Result {
		const { device, pasid, type } = this.request;
		let reported = asked;
		let more: Fields = {};
		const translationRelated = code >= EVENT.F_TRANSLATION && code <= EVENT.F_PERMISSION;
		const refused = code === EVENT.F_BAD_ATS_TREQ || code === EVENT.F_TRANSL_FORBIDDEN;
		// 3.9.1.2: errors of configuration are recorded with SMMU_CR2.REC_CFG_ATS only
		const recordsErrors = this.cap.atsRecErr && (this.registers.cr2 & 8) !== 0;
		if (type === "translated" && code <= EVENT.C_BAD_CD && !refused) {
			reported &&= recordsErrors;
		}
		if (type === "translation") {
			more = { response: translationRelated ? 0 : code === 0 || refused ? 1 : 4 };
			reported &&= refused || (!translationRelated && recordsErrors);
		}
		return {
			status: "fault",
			pa: 0n,
			pageBytes: 0n,
			r: false,
			w: false,
			x: false,
			code,
			reported,
			fields: { StreamID: device, SSV: pasid !== null, SubstreamID: pasid ?? 0, ...fields, ...more },
			writes: this.writes,
		};
	}

	/** Terminated with an abort, and no event (3.4, 5.2 Config). */
	abort(): Result {
		return this.fault(0, {}, false);
	}

	/** Attributes of the input that address events carry (7.3): InD is 0 for writes. */
	input(): Fields {
		return {
			InputAddr: this.request.address,
			RnW: this.access !== "w",
			InD: this.access === "x",
			PnU: this.privileged,
		};
	}

	/** 5.5: A, R, S of the stage that faulted; stage 2 has A = 1. */
	policy(a: boolean, r: boolean, s: boolean): { fields: Fields; reported: boolean } {
		return { fields: { Stall: s, abort: !s && a }, reported: s || r };
	}

	bypass(pa: bigint): Result {
		return {
			status: "bypass",
			pa,
			pageBytes: 1n << BigInt(this.cap.oas),
			r: true,
			w: true,
			x: true,
			code: 0,
			reported: false,
			fields: {},
			writes: this.writes,
		};
	}

	/** An event of a stage 2 walk: for a CD or L1CD (`CLASS.CD`), a stage 1 entry (TT) or the address itself (IN). */
	stage2Fault(ste: Ste, walk: VmsaWalk, cls: number, ipa: bigint, write: boolean): Result {
		const code = eventOf(walk);
		if (code === EVENT.F_WALK_EABT) {
			return this.fault(code, { ...this.input(), S2: true, CLASS: cls, FetchAddr: walk.entryAddress });
		}
		const { fields, reported } = this.policy(true, ste.s2r, ste.s2s);
		const more: Fields = code === EVENT.F_PERMISSION && cls === CLASS.TT ? { TTRnW: !write } : {};
		return this.fault(code, { ...this.input(), ...fields, ...more, S2: true, CLASS: cls, IPA: ipa }, reported);
	}

	/** An event of a stage 1 walk, which may be a stage 2 event of a table access. */
	stage1Fault(ste: Ste, cd: Cd, walk: VmsaWalk): Result {
		if (walk.blocked !== null) {
			return this.stage2Fault(ste, walk.blocked, CLASS.TT, walk.blockedAddress, walk.blockedWrite);
		}
		const code = eventOf(walk);
		if (code === EVENT.F_WALK_EABT) {
			return this.fault(code, { ...this.input(), S2: false, CLASS: CLASS.TT, FetchAddr: walk.entryAddress });
		}
		const { fields, reported } = this.policy(cd.a, cd.r, cd.s);
		return this.fault(code, { ...this.input(), ...fields, S2: false, CLASS: CLASS.IN }, reported);
	}

	/** Stage 1 switched off: its input is its output, and too wide an address is its Address Size fault (3.4). */
	bypassedTooWide(bits: number): Result | null {
		if (this.request.address >> BigInt(bits) === 0n) {
			return null;
		}
		return this.fault(EVENT.F_ADDR_SIZE, {
			...this.input(),
			Stall: false,
			abort: true,
			S2: false,
			CLASS: CLASS.IN,
		});
	}

	run(): Result {
		const { cap, registers, request } = this;
		const type = request.type ?? "untranslated";
		const forbidden = (): Result =>
			type === "translated"
				? this.fault(EVENT.F_TRANSL_FORBIDDEN, { InputAddr: request.address, RnW: this.access !== "w" })
				: this.fault(EVENT.F_BAD_ATS_TREQ, { InputAddr: request.address });
		if ((registers.cr0 & 1) === 0) {
			if (type !== "untranslated") {
				return forbidden();
			}
			const tooWide = request.address >> BigInt(cap.oas) !== 0n;
			return (registers.gbpa & (1 << 20)) !== 0 || tooWide ? this.abort() : this.bypass(request.address);
		}

		const atsChecked = (registers.cr0 & 16) !== 0;
		if (type === "translated" && !atsChecked) {
			return this.bypass(request.address);
		}

		const found = this.streamTableEntry();
		if ("fault" in found) {
			return found.fault;
		}
		const ste = found.ste;
		if (steIllegal(ste, cap)) {
			return this.fault(EVENT.C_BAD_STE, {});
		}
		if (ste.config < 4) {
			return this.abort();
		}
		// 3.9.2: split-stage ATS wants ATSCHK; EATS 3 is of DPT, which is not here
		const eats = !cap.ats || ste.config === 4 || ste.eats === 3 || (ste.eats === 2 && !atsChecked) ? 0 : ste.eats;
		if (type !== "untranslated" && eats === 0) {
			return forbidden();
		}
		this.override(ste);
		if (type === "translated") {
			return eats === 1 ? this.bypass(request.address) : (this.bypassedTooWide(cap.ias) ?? this.output(ste, request.address, null));
		}
		const split = type === "translation" && eats === 2;

		// 7.3.9 C_BAD_SUBSTREAMID, then 7.3.7 F_STREAM_DISABLED
		const cdMax = cap.ssidSize === 0 ? 0 : ste.s1cdMax;
		const { pasid } = request;
		let translate1 = stage1On(ste);
		let substream = 0;
		if (pasid !== null) {
			if (!translate1 || cdMax === 0 || pasid >= 2 ** cdMax) {
				return this.fault(EVENT.C_BAD_SUBSTREAMID, { SubstreamID: pasid });
			}
			if (ste.s1dss === 2 && pasid === 0) {
				return this.fault(EVENT.F_STREAM_DISABLED, {});
			}
			substream = pasid;
		} else if (translate1 && cdMax > 0) {
			if (ste.s1dss === 0 || ste.s1dss === 3) {
				return this.fault(EVENT.F_STREAM_DISABLED, {});
			}
			translate1 = ste.s1dss !== 1;
		}

		const two = stage2On(ste);
		if (!translate1) {
			// without any stage the limit is OAS, else IAS
			const narrow = this.bypassedTooWide(ste.config === 4 ? cap.oas : cap.ias);
			if (narrow !== null) {
				return narrow;
			}
			if (split) {
				return this.bypass(request.address);
			}
			if (!two) {
				return this.bypass(request.address & ((1n << BigInt(cap.oas)) - 1n));
			}
			return this.output(ste, request.address, null);
		}

		const context = this.contextDescriptor(ste, cdMax, substream);
		if ("fault" in context) {
			return context.fault;
		}
		const cd = context.cd;
		const world = streamWorld(ste, cap, registers.cr2);
		if (cdIllegal(cd, ste, world, cap)) {
			return this.fault(EVENT.C_BAD_CD, {});
		}
		const walk = walkVmsav8(
			this.memory,
			stage1Geometry(cd, world, cap, request.address),
			{ address: request.address, access: this.access, privileged: this.privileged, ...this.unchecked(true) },
			two
				? (address, write) => this.second(ste, { address, access: write ? "w" : "r", privileged: true, implicit: true })
				: null,
		);
		if (walk.outcome !== "translated") {
			return this.stage1Fault(ste, cd, walk);
		}
		return two && !split ? this.output(ste, walk.pa, walk) : this.ok(walk.pa, walk, null);
	}

	/** Stage 2 of the transaction's own address. */
	output(ste: Ste, ipa: bigint, first: VmsaWalk | null): Result {
		const walk = this.second(ste, { address: ipa, access: this.access, privileged: this.privileged, ...this.unchecked(first?.w ?? true) });
		if (walk.outcome !== "translated") {
			return this.stage2Fault(ste, walk, CLASS.IN, ipa, this.access === "w");
		}
		return this.ok(walk.pa, walk, first);
	}

	/** `writes`: what comes before lets a translation request write */
	unchecked(writes: boolean): Pick<VmsaAccess, "unchecked"> {
		const { type, noWrite } = this.request;
		return type === "translation" ? { unchecked: noWrite || !writes ? "read" : "read-write" } : {};
	}

	second(ste: Ste, access: VmsaAccess): VmsaWalk {
		return walkVmsav8(this.memory, stage2Geometry(ste, this.cap), access);
	}

	ok(pa: bigint, last: VmsaWalk, first: VmsaWalk | null): Result {
		const smaller = first !== null && first.pageBytes < last.pageBytes ? first.pageBytes : last.pageBytes;
		return {
			status: "ok",
			pa,
			pageBytes: smaller,
			r: last.r && (first?.r ?? true),
			w: last.w && (first?.w ?? true),
			x: last.x && (first?.x ?? true),
			code: 0,
			reported: false,
			// a later write would first have to mark a leaf dirty
			fields: { clean: last.clean || (first?.clean ?? false) },
			writes: this.writes,
		};
	}

	/** 5.2 PRIVCFG and INSTCFG, which count only with SMMU_IDR1.ATTR_PERMS_OVR. INSTCFG changes reads only. */
	override(ste: Ste): void {
		if (!this.cap.attrPermsOvr) {
			return;
		}
		if (ste.privcfg >= 2) {
			this.privileged = ste.privcfg === 3;
		}
		if (ste.instcfg >= 2 && this.access !== "w") {
			this.access = ste.instcfg === 3 ? "x" : "r";
		}
	}

	/** 3.3.2, 5.1: the STE of the StreamID. */
	streamTableEntry(): { ste: Ste } | { fault: Result } {
		const { cap, registers, request } = this;
		const id = BigInt(request.device);
		const badStream = () => ({
			// 7.3.3: recorded with SMMU_CR2.RECINVSID only
			fault: this.fault(EVENT.C_BAD_STREAMID, {}, (registers.cr2 & 2) !== 0),
		});
		const log2size = registers.strtabBaseCfg & 0x3f;
		if (id >> BigInt(log2size) !== 0n) {
			return badStream();
		}
		const base = registers.strtabBase & 0x00ff_ffff_ffff_ffc0n;
		let address: bigint;
		if (cap.stLevel !== 0 && ((registers.strtabBaseCfg >> 16) & 3) === 1) {
			// 6.3.25: other splits behave as 6
			const written = (registers.strtabBaseCfg >> 6) & 0x1f;
			const split = written === 8 || written === 10 ? written : 6;
			// 6.3.24: ADDR[max(5, LOG2SIZE - SPLIT - 1 + 3):0] = 0
			const aligned = BigInt(Math.max(6, log2size - split + 3));
			const first = ((base >> aligned) << aligned) + (id >> BigInt(split)) * 8n;
			const fetched = this.fetch(first, 1);
			if (fetched === null) {
				return { fault: this.fault(EVENT.F_STE_FETCH, { FetchAddr: first }) };
			}
			const span = Number(fetched[0] & 0x1fn);
			const within = id & ((1n << BigInt(split)) - 1n);
			if (span === 0 || span > 11 || span > split + 1 || within >> BigInt(span - 1) !== 0n) {
				return badStream();
			}
			// 5.1: L2Ptr[5 + Span - 1:0] is taken as zero
			const low = BigInt(6 + span - 1);
			const pointer = fetched[0] & 0x00ff_ffff_ffff_ffc0n;
			address = ((pointer >> low) << low) + within * 64n;
		} else {
			// 6.3.24: ADDR[LOG2SIZE + 5:0] = 0
			const aligned = BigInt(log2size + 6);
			address = ((base >> aligned) << aligned) + id * 64n;
		}
		const words = this.fetch(address, 8);
		if (words === null) {
			return { fault: this.fault(EVENT.F_STE_FETCH, { FetchAddr: address }) };
		}
		return { ste: decodeSte(words) };
	}

	/** `count` qwords; null when out of the output size or aborted. */
	fetch(address: bigint, count: number): bigint[] | null {
		if (address >> BigInt(this.cap.oas) !== 0n) {
			return null;
		}
		const words: bigint[] = [];
		for (let i = 0; i < count; i++) {
			const fetched = this.memory.read(address + BigInt(8 * i), 8);
			if ("error" in fetched) {
				return null;
			}
			words.push(fetched.value);
		}
		return words;
	}

	/** 5.2 S1Fmt, 5.3, 5.4: the CD of a substream, each of its accesses through stage 2 when that is on. */
	contextDescriptor(ste: Ste, cdMax: number, substream: number): { cd: Cd } | { fault: Result } {
		const index = BigInt(substream);
		const get = (address: bigint, count: number): { words: bigint[] } | { fault: Result } => {
			let pa = address;
			if (stage2On(ste)) {
				const walk = this.second(ste, { address, access: "r", privileged: true, implicit: true });
				if (walk.outcome !== "translated") {
					return { fault: this.stage2Fault(ste, walk, CLASS.CD, address, false) };
				}
				pa = walk.pa;
			}
			const words = this.fetch(pa, count);
			return words === null ? { fault: this.fault(EVENT.F_CD_FETCH, { FetchAddr: pa }) } : { words };
		};

		let address: bigint;
		const split = ste.s1fmt === 1 ? 6 : ste.s1fmt === 2 ? 10 : 0;
		if (cdMax === 0) {
			address = ste.s1ContextPtr;
		} else if (split === 0) {
			const low = BigInt(cdMax + 6);
			address = ((ste.s1ContextPtr >> low) << low) + index * 64n;
		} else {
			const low = BigInt(Math.max(6, cdMax - split + 3));
			const first = ((ste.s1ContextPtr >> low) << low) + (index >> BigInt(split)) * 8n;
			const fetched = get(first, 1);
			if ("fault" in fetched) {
				return fetched;
			}
			const entry = fetched.words[0];
			// 5.3: L2Ptr[55:12]; with 64K leaves bits 15:12 are RES0 and taken as zero
			const pointer = entry & (split === 6 ? 0x00ff_ffff_ffff_f000n : 0x00ff_ffff_ffff_0000n);
			const wide = pointer >> BigInt(stage2On(ste) ? this.cap.ias : this.cap.oas) !== 0n;
			if ((entry & 1n) === 0n || wide) {
				return { fault: this.fault(EVENT.C_BAD_SUBSTREAMID, { SubstreamID: substream }) };
			}
			address = pointer + (index & ((1n << BigInt(split)) - 1n)) * 64n;
		}
		const fetched = get(address, 8);
		return "fault" in fetched ? fetched : { cd: decodeCd(fetched.words) };
	}
}

/** One transaction: stream table, substream, CD (through stage 2), stage 1, stage 2. */
export function translateSmmuv3(memory: Memory, registers: SmmuRegisters, request: SmmuRequest): Result {
	const transaction = new Transaction(memory, registers, request);
	const done = transaction.run();
	if (request.type !== "translation" || done.status === "fault") {
		return done;
	}
	// no write with No Write; execute is told with a PASID, when it is asked for, with read
	const x = done.x && done.r && transaction.access === "x";
	return { ...done, w: done.w && !request.noWrite, x };
}
