/** Invalidations and PASIDs of a recording, told as the tables that it is replayed on file their answers. */
import type { ReplayFormat } from "./formats.ts";
import { Kind, NO_PASID, Scope } from "./trace.ts";

interface Rows {
	kind: Uint8Array;
	flags: Uint8Array;
	id: Uint32Array;
	pasid: Uint32Array;
}

const WITH_PASID: Readonly<Record<number, number>> = { [Scope.domain]: Scope.pasid, [Scope.page]: Scope.pasidPage };
const WITHOUT: Readonly<Record<number, number>> = { [Scope.pasid]: Scope.domain, [Scope.pasidPage]: Scope.page };

/** Changes the first `count` rows, which are the caller's own. Requests lose their PASID: the domain stands for its one address space. */
export function retag({ kind, flags, id, pasid }: Rows, count: number, tags: ReplayFormat["tags"]): void {
	const to = tags === "domain" ? WITHOUT : WITH_PASID;
	for (let row = 0; row < count; row++) {
		pasid[row] = NO_PASID;
		if (kind[row] !== Kind.invalidate || flags[row] === Scope.device) continue;
		flags[row] = to[flags[row]] ?? flags[row];
		if (tags === "domain" || flags[row] === Scope.global) continue;
		pasid[row] = tags === "process" ? id[row] : 0;
		if (tags === "process") id[row] = 0;
	}
}
