import { CoreError, type DmaAnswer, type IommuCapabilities, type IommuDriver, type IommuTable, type RequesterState, type TableAttributes, type TableContent } from "../core/index.ts";
import type { Engine, Unit } from "../engine/index.ts";
import { EngineTable, refused } from "./engine-table.ts";

const MOST_DOMAINS = 65536;
/** DID of pass-through contexts; 0 is left alone (6.2.2.1) */
const HOST_DOMAIN = 65535;

/** Intel VT-d in legacy mode: second-stage tables, domain ids, root and context entries. */
export class VtdIommu implements IommuDriver {
	readonly name: string;
	private readonly used = new Set<number>([0, HOST_DOMAIN]);
	private next = 1;

	constructor(
		private readonly engine: Engine,
		private readonly unit: Unit,
		readonly capabilities: IommuCapabilities,
		name?: string,
	) {
		this.name = name ?? `unit ${unit.index}`;
	}

	private takeDomain(wanted: number | undefined): number {
		const context = { operation: "createTable", object: this.name };
		if (wanted !== undefined) {
			if (!Number.isInteger(wanted) || wanted < 0 || wanted >= MOST_DOMAINS) throw new CoreError("Unsupported", `no domain id ${wanted}`, context);
			if (wanted !== 0 && this.used.has(wanted)) throw new CoreError("Occupied", `domain id ${wanted} is taken`, context);
			return wanted;
		}
		if (this.used.size >= MOST_DOMAINS) throw new CoreError("Exhausted", "every domain id is taken", context);
		while (this.used.has(this.next)) this.next = (this.next + 1) % MOST_DOMAINS;
		return this.next;
	}

	createTable(content: TableContent, { levels = 4, domain }: TableAttributes): IommuTable {
		const id = this.takeDomain(domain);
		let table: EngineTable | undefined;
		try {
			table = new EngineTable(this.engine.createTable({ format: "vtd-second", levels }), id, (changed, iova, size) => this.dropRange(changed.id, iova, size));
			table.fill(content);
		} catch (error) {
			table?.pages.dispose();
			throw refused(error, "createTable", this.name);
		}
		this.used.add(id);
		return table;
	}

	destroyTable(table: IommuTable): void {
		const { pages, id } = table as EngineTable;
		this.unit.invalidate({ scope: "domain", domain: id, caches: ["iotlb"] });
		pages.dispose();
		this.used.delete(id);
	}

	configure(rid: number, { untagged, pasids }: RequesterState): void {
		const context = { operation: "configure", object: `${this.name}, rid 0x${rid.toString(16)}` };
		if (pasids.size > 0) throw new CoreError("Unsupported", "no PASIDs in legacy mode", context);
		try {
			// setRoute writes the entry not-present first, and what was cached of it goes before the device may use it
			if (untagged === undefined) this.unit.setRoute(rid, { type: "blocked" });
			else if (untagged.kind === "host") this.unit.setRoute(rid, { type: "bypass", domain: HOST_DOMAIN });
			else if (untagged.kind === "table") {
				const { pages, id } = untagged.table as EngineTable;
				this.unit.setRoute(rid, { type: "second-stage", domain: id, table: pages });
			} else throw new CoreError("Unsupported", "not in legacy mode", context);
		} catch (error) {
			throw refused(error, "configure", context.object);
		}
		this.unit.invalidate({ scope: "device", rid });
	}

	private dropRange(domain: number, iova: bigint, size: bigint): void {
		const last = iova + size - 1n;
		// the smallest aligned power of two that covers the range (6.5.2.3, address mask)
		let mask = 0;
		while (iova >> BigInt(12 + mask) !== last >> BigInt(12 + mask)) mask++;
		this.unit.invalidate({ scope: "page", domain, address: iova, mask });
	}

	invalidate(): void {}

	translate(rid: number, pasid: number | null, address: bigint, access: "read" | "write"): DmaAnswer {
		const answer = this.unit.translate(rid, address, { access, ...(pasid === null ? {} : { pasid }) });
		if (answer.status === "translated") return { ok: true, physical: answer.pa, pageBytes: answer.pageBytes };
		return { ok: false, where: answer.entryAddress === 0n ? "requester" : "stage1", code: answer.fault };
	}
}
