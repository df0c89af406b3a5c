/** Seeded traces of everything that an IOTLB meets: shared domains, 2 MiB leaves, rights, holes in order, faults, stale answers. */
import { Access, Kind, NO_PASID, Scope, type Trace, Verdict } from "../../../ts/replay/trace.ts";
import { RowBuffer, setNumber } from "../../../ts/replay/rows.ts";
import { random } from "../fixtures/generate.ts";

export interface RandomTraceOptions {
	seed: number;
	events: number;
	/** share of unmaps that are followed by an invalidation at once; the others may leave stale answers */
	strict: number;
	/** 2 MiB maps, as a share */
	large?: number;
	/** pages of each device's window */
	window?: number;
}

const SLOT = 2 ** 21;

/** Each device maps slots of its window: one page, some pages or a whole 2 MiB; a slot never changes between 4 KiB and 2 MiB leaves. */
export function randomTrace({ seed, events, strict, large = 0.05, window = 96 }: RandomTraceOptions): Trace {
	const next = random(seed);
	const pick = (count: number) => Math.floor(next() * count);
	const rows = new RowBuffer();
	const devices = [
		{ rid: 0x08, domain: 3 },
		{ rid: 0x10, domain: 3 },
		{ rid: 0x18, domain: 4 },
		{ rid: 0x20, domain: null },
	].map(({ rid, domain }) => ({ segment: 0, rid, name: `0000:00:0${rid >> 3}.0`, domain, levels: 3 }));
	// devices 0 and 1 share a domain, so that device 1 only uses what device 0 maps
	const owners = [0, 2, 3];
	const slots = owners.map(() => Array.from({ length: window }, () => ({ large: next() < large, pages: 0 })));
	let time = 0;
	const row = (kind: number, id: number, iova: number, size: number, flags: number, pa = 0) => {
		time += 1 + pick(3);
		const at = rows.add(kind, time, id);
		const { columns } = rows;
		columns.flags[at] = flags;
		columns.verdict[at] = Verdict.none;
		columns.pasid[at] = NO_PASID;
		setNumber(columns.iova, at, iova);
		setNumber(columns.size, at, size);
		setNumber(columns.pa, at, pa);
	};
	const invalidate = (owner: number, iova: number, size: number) => {
		const dice = next();
		const domain = devices[owners[owner]].domain ?? 1;
		if (dice < 0.02) row(Kind.invalidate, 0, 0, 0, Scope.global);
		else if (dice < 0.07) row(Kind.invalidate, domain, 0, 0, Scope.domain);
		else if (dice < 0.1) row(Kind.invalidate, domain, iova - (iova % (64 * SLOT)), 64 * SLOT, Scope.page);
		else row(Kind.invalidate, domain, iova, size, Scope.page);
	};
	while (rows.length < events) {
		const owner = pick(owners.length);
		// slots near the front more often
		const index = Math.floor(window * next() * next() * next());
		const slot = slots[owner][index];
		const iova = index * SLOT;
		const dice = next();
		if (dice < 0.12) {
			const pages = slot.large ? 512 : 1 + pick(3);
			const rights = [Access.read, Access.write | Access.read, Access.write | Access.read][pick(3)];
			if (slot.pages === 0) {
				row(Kind.map, owners[owner], iova, pages * 4096, rights, (1 + pick(1000)) * SLOT);
				slot.pages = pages;
			} else {
				row(Kind.unmap, owners[owner], iova, slot.pages * 4096, 0);
				if (next() < strict) invalidate(owner, iova, slot.pages * 4096);
				slot.pages = 0;
			}
			continue;
		}
		const device = owner === 0 && next() < 0.5 ? 1 : owners[owner];
		const address = iova + pick(slot.large ? 512 : 3) * 4096 + pick(4096);
		row(Kind.dma, device, address, 4096, [Access.any, Access.read, Access.write][pick(3)]);
	}
	return {
		architecture: "vtd",
		stage: "second",
		files: ["random"],
		devices,
		columns: rows.take(),
		report: { lines: 0, ignoredLines: 0, damagedLines: 0, damage: [], notes: [] },
	};
}
