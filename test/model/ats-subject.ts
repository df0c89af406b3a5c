/** What the tests of ATS against the references have in common: engines over a reference's memory, answers in the same words. */
import { Engine, type HostMemory, type Translation, type Unit, type UnitConfig } from "../../ts/engine/index.ts";
import type { Memory, Request, Result } from "../reference/contract.ts";
import type { Random } from "./random.ts";

export const ACCESS = { r: "read", w: "write", x: "execute" } as const;
export type Type = "untranslated" | "translation" | "translated";

/** What ATS adds to a request. */
export interface AtsRequest extends Request {
	type: Type;
	noWrite: boolean;
}

export function unitOver(memory: Memory, unit: UnitConfig): Unit {
	const host: HostMemory = {
		read(address, bytes) {
			const got = memory.read(address, bytes as 8);
			return "error" in got ? (got.error === "poison" ? "poison" : undefined) : got.value;
		},
		write: (address, bytes, value) => memory.write(address, bytes as 8, value),
	};
	return Engine.create({ memory: [{ kind: "host", start: 0n, size: 1n << 62n, memory: host }], tables: { frames: 1, base: 1n << 62n, count: 1 }, units: [unit] }).units[0];
}

/** A request with a type, of one that a machine made; `again`: where the last answer led, for a translated request. */
export function typed(random: Random, request: Request, again: bigint): AtsRequest {
	const type = random.pick(["translation", "translation", "translation", "translated", "untranslated"] as const);
	const address = type === "translated" && random.below(2) === 0 ? again : request.address;
	return { ...request, address, type, noWrite: random.below(3) === 0 };
}

export const ask = (unit: Unit, { device, pasid, address, access, privileged, type, noWrite }: AtsRequest): Translation =>
	unit.translate(device, address, { pasid: pasid ?? undefined, access: ACCESS[access], privileged, type, noWrite });

const COMPLETIONS = { 0: "success", 1: "unsupported-request", 4: "completer-abort" } as const;
const hex = (value: bigint) => `0x${value.toString(16)}`;

/** PCIe ATS 10.2.3.2: address, S by the lowest zero of it, Priv, Exe, W, R; 0 without rights. `flags`: U, Global and N. */
export function entryOf(told: bigint, bytes: bigint, want: { r: boolean; w: boolean; x: boolean }, privileged: boolean, flags: bigint): bigint {
	if (!want.r && !want.w) return 0n;
	const size = bytes > 4096n ? 0x800n | ((bytes / 2n - 1n) & ~0xfffn) : 0n;
	return (told & ~(bytes - 1n)) | size | flags | (want.r ? 1n : 0n) | (want.w ? 2n : 0n) | (want.x ? 8n : 0n) | (privileged ? 16n : 0n);
}

export interface Expected {
	request: AtsRequest;
	want: Result;
	/** Priv of a completion */
	privileged: boolean;
	/** U, Global, N of a completion, where the reference knows them; null: not compared */
	flags: bigint | null;
	/** more bytes than this are those of a bypass */
	most?: bigint;
}

const MOST = 1n << 60n;
const NOT_COMPARED = 0x424n;

export function expected({ request, want, privileged, flags, most = MOST }: Expected): unknown[] {
	const { type } = request;
	const response = COMPLETIONS[(want.fields.response ?? 0) as 0];
	if (want.status === "fault") return ["fault", want.code, type === "translation" ? response : ""];
	const wide = want.status === "bypass" || want.pageBytes > most;
	const bytes = wide ? 4096n : want.pageBytes;
	const rights = type === "untranslated" || (type === "translated" && wide) ? "" : `${want.r} ${want.w} ${want.x}`;
	const words: unknown[] = [want.status === "interrupt" ? "interrupt" : "translated", hex(want.pa), wide ? 0 : Number(bytes), rights];
	if (type === "translation") words.push(response, hex(entryOf(want.pa, bytes, want, privileged, flags ?? 0n)));
	return words;
}

/** The engine's answer in those words. */
export function told({ request, want, flags, most = MOST }: Expected, got: Translation): unknown[] {
	const { type } = request;
	if (got.status === "fault") return ["fault", got.fault, type === "translation" ? got.completion?.status : ""];
	const wide = want.status === "bypass" || want.pageBytes > most;
	const rights = type === "untranslated" || (type === "translated" && wide) ? "" : `${got.read} ${got.write} ${got.execute}`;
	const words: unknown[] = [got.status, hex(got.pa), wide ? 0 : got.pageBytes, rights];
	const entry = got.completion?.entry ?? 0n;
	if (type === "translation") words.push(got.completion?.status, hex(flags === null ? entry & ~NOT_COMPARED : entry));
	return words;
}

export const text = (request: unknown) => JSON.stringify(request, (_, v) => (typeof v === "bigint" ? hex(v) : v));
