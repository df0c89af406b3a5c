/** What a request to a unit says, in the engine's words. */
import {
	ACCESS_ANY,
	ACCESS_DEVICE,
	ACCESS_EXECUTE,
	ACCESS_NO_PAGE_REQUEST,
	ACCESS_NO_WRITE,
	ACCESS_PRIVILEGED,
	ACCESS_READ,
	ACCESS_TRANSLATED,
	ACCESS_TRANSLATION,
	ACCESS_WRITE,
} from "../../assembly/layout.ts";

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

/** ACCESS_* bits of a request. */
export function accessBits({ access = "read", privileged = false, type = "untranslated", noWrite = false, pageRequests = true }: TranslateOptions): number {
	return ACCESS_BITS[access] | TYPE_BITS[type] | (privileged ? ACCESS_PRIVILEGED : 0) | (noWrite ? ACCESS_NO_WRITE : 0) | (pageRequests ? 0 : ACCESS_NO_PAGE_REQUEST);
}
