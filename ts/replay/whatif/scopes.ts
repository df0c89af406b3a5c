import { type Columns, Kind, Scope } from "../trace.ts";

/** Invalidations of a domain as those of PASID 0 of it, for requests without a PASID that go through first stages; or back. */
export function scopedBy({ length, kind, flags, pasid }: Columns, byPasid: boolean): Pick<Columns, "flags" | "pasid"> {
	const scopes = flags.slice();
	const pasids = pasid.slice();
	const to: Record<number, number> = byPasid ? { [Scope.domain]: Scope.pasid, [Scope.page]: Scope.pasidPage } : { [Scope.pasid]: Scope.domain, [Scope.pasidPage]: Scope.page };
	for (let row = 0; row < length; row++) {
		if (kind[row] !== Kind.invalidate) continue;
		scopes[row] = to[flags[row]] ?? flags[row];
		if (byPasid) pasids[row] = 0;
	}
	return { flags: scopes, pasid: pasids };
}
