/** What a request to a unit says, in the engine's words. */
import {
	ACCESS_ANY,
	ACCESS_DEVICE,
	ACCESS_EXECUTE,
	ACCESS_NO_PAGE_REQUEST,
	ACCESS_NO_WRITE,
	ACCESS_PRIVILEGED,
	ACCESS_READ,
	ACCESS_SPAN_MASK,
	ACCESS_SPAN_SHIFT,
	ACCESS_TRANSLATED,
	ACCESS_TRANSLATION,
	ACCESS_WRITE,
} from "../../assembly/layout.ts";
import { EngineError } from "./errors.ts";

/** `any` is legal when read or write is: for recorders that do not say. */
export type AccessKind = "read" | "write" | "execute" | "any";

/**
 * Type of a request (PCIe address type). `device`: as a device with a device-TLB makes it, which looks there, sends a
 * translation request, keeps the completion and sends a translated request.
 */
export type RequestType = "untranslated" | "translation" | "translated" | "device";

export interface TranslateOptions {
	/** default `untranslated` */
	type?: RequestType;
	/** `translation`: with No Write */
	noWrite?: boolean;
	/** `device`: whether it asks for pages that it gets no right to, where its unit takes page requests; default true */
	pageRequests?: boolean;
	/**
	 * `device`: pages from that of the address on which a page request group is to hold, as far as the device lacks them; 1
	 * to 64, default 1
	 */
	pages?: number;
	/** PASID of the request; none by default */
	pasid?: number;
	/** default `read` */
	access?: AccessKind;
	privileged?: boolean;
	/** bytes; more than the 4 KiB page holds gives the status `crosses` */
	length?: number;
}

const ACCESS_BITS: Record<AccessKind, number> = { read: ACCESS_READ, write: ACCESS_WRITE, execute: ACCESS_EXECUTE, any: ACCESS_ANY };
const TYPE_BITS: Record<RequestType, number> = { untranslated: 0, translation: ACCESS_TRANSLATION, translated: ACCESS_TRANSLATED, device: ACCESS_DEVICE };

/** ACCESS_* bits of a request. @throws EngineError OutOfRange for a span that no group holds */
export function accessBits({ access = "read", privileged = false, type = "untranslated", noWrite = false, pageRequests = true, pages = 1 }: TranslateOptions): number {
	if (!Number.isInteger(pages) || pages < 1 || pages > ACCESS_SPAN_MASK + 1) {
		throw new EngineError("OutOfRange", `${pages} pages, a group holds 1 to ${ACCESS_SPAN_MASK + 1}`, { operation: "Unit.translate" });
	}
	return ACCESS_BITS[access] | TYPE_BITS[type] | (privileged ? ACCESS_PRIVILEGED : 0) | (noWrite ? ACCESS_NO_WRITE : 0) | (pageRequests ? 0 : ACCESS_NO_PAGE_REQUEST) | ((pages - 1) << ACCESS_SPAN_SHIFT);
}
