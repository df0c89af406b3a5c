import { CoreError, type Domain, type IommuDriver, type TableAttributes } from "../core/index.ts";
import { refused } from "../core/table.ts";
import type { Engine, Unit } from "../engine/index.ts";

const MOST_DOMAINS = 65536;

/** Intel VT-d in legacy mode: second-stage tables, domain ids (DID 0 is left alone, 6.2.2.1), root and context entries. */
export class VtdIommu implements IommuDriver {
	readonly kind = "vtd";
	private readonly used = new Set<number>();
	private next = 1;

	constructor(
		private readonly engine: Engine,
		private readonly unit: Unit,
	) {}

	private takeDomain(wanted: number | undefined): number {
		const context = { operation: "createDomain", object: `unit ${this.unit.index}` };
		if (wanted !== undefined) {
			if (!Number.isInteger(wanted) || wanted < 0 || wanted >= MOST_DOMAINS) throw new CoreError("Unsupported", `no domain id ${wanted}`, context);
			if (this.used.has(wanted)) throw new CoreError("Occupied", `domain id ${wanted} is taken`, context);
			return wanted;
		}
		if (this.used.size >= MOST_DOMAINS - 1) throw new CoreError("NoSpace", "every domain id is taken", context);
		while (this.used.has(this.next)) this.next = this.next + 1 < MOST_DOMAINS ? this.next + 1 : 1;
		return this.next;
	}

	createDomain({ levels = 4, domain }: TableAttributes): Domain {
		const id = this.takeDomain(domain);
		try {
			const table = this.engine.createTable({ format: "vtd-second", levels });
			this.used.add(id);
			return { table, id };
		} catch (error) {
			throw refused(error, "createDomain", `unit ${this.unit.index}`);
		}
	}

	destroyDomain({ table, id }: Domain): void {
		table.dispose();
		this.used.delete(id);
	}

	route(rid: number, { table, id }: Domain): void {
		// setRoute writes the entry not-present first, and what was cached of it goes before the device may use it
		this.unit.setRoute(rid, { type: "second-stage", domain: id, table });
		this.unit.invalidate({ scope: "device", rid });
	}

	block(rid: number): void {
		this.unit.setRoute(rid, { type: "blocked" });
		this.unit.invalidate({ scope: "device", rid });
	}

	invalidate({ id }: Domain, first?: bigint, last?: bigint): void {
		if (first === undefined || last === undefined) {
			this.unit.invalidate({ scope: "domain", domain: id, caches: ["iotlb"] });
			return;
		}
		// the smallest aligned power of two that covers the range (6.5.2.3, address mask)
		let mask = 0;
		while (first >> BigInt(12 + mask) !== last >> BigInt(12 + mask)) mask++;
		this.unit.invalidate({ scope: "page", domain: id, address: first, mask });
	}
}
