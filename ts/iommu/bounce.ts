import {
	CoreError,
	type DmaAnswer,
	type DmaFault,
	type IommuCapabilities,
	type IommuDriver,
	type IommuTable,
	PAGE,
	type RequesterState,
	RunList,
	type TableContent,
	type TableRun,
	type Target,
	type UserTable,
	type UserTableReader,
} from "../core/index.ts";

/** A table of runs in JavaScript. */
class RunTable implements IommuTable {
	private readonly runs = new RunList();
	private written: Set<bigint> | null = null;
	private split = true;

	find(iova: bigint): TableRun | undefined {
		return this.runs.find(iova);
	}

	map(run: TableRun): void {
		this.runs.map(run);
	}

	unmap(iova: bigint, size: bigint): void {
		this.runs.unmap(iova, size);
		for (const page of this.written ?? []) if (page >= iova && page < iova + size) this.written?.delete(page);
	}

	trackDirty(on: boolean, split: boolean): void {
		this.written = on ? new Set() : null;
		this.split = split;
	}

	wrote(iova: bigint): void {
		if (this.written === null) return;
		const page = iova & ~(PAGE - 1n);
		this.written.add(page);
		const run = this.find(iova);
		if (this.split || run === undefined) return;
		// the largest leaf that the run allows around the address
		for (const size of [1n << 30n, 1n << 21n]) {
			const start = iova & ~(size - 1n);
			if (start < run.iova || start + size > run.iova + run.size || (run.pa + (start - run.iova)) & (size - 1n)) continue;
			for (let at = start; at < start + size; at += PAGE) this.written.add(at);
			return;
		}
	}

	readDirty(iova: bigint, size: bigint, clear: boolean, visit: (iova: bigint, size: bigint) => void): void {
		for (const page of [...(this.written ?? [])]) {
			if (page < iova || page >= iova + size) continue;
			visit(page, PAGE);
			if (clear) this.written?.delete(page);
		}
	}
}

/**
 * An IOMMU made of software alone (as swiotlb or an on-device MMU would be): tables are lists, answers are looked up, nothing
 * is cached. It shows what a user's own IOMMU driver has to do; the hardware's rules are in the engine.
 */
export class BounceIommu implements IommuDriver {
	private readonly states = new Map<number, RequesterState>();

	constructor(
		readonly name: string,
		readonly capabilities: IommuCapabilities,
		private readonly memory: { reader: UserTableReader; read64: (physical: bigint) => bigint },
	) {}

	createTable(content: TableContent): IommuTable {
		const table = new RunTable();
		for (const run of content()) table.map(run);
		return table;
	}

	destroyTable(): void {}

	configure(rid: number, state: RequesterState): void {
		if (state.pasidTable !== undefined && !this.capabilities.pasidTables) throw new CoreError("Unsupported", "no PASID tables of guests", { operation: "configure", object: this.name });
		this.states.set(rid, state);
	}

	invalidate(): void {}

	private lookUp(table: IommuTable, address: bigint, write: boolean, stage: "stage1" | "stage2"): DmaAnswer {
		const run = (table as RunTable).find(address);
		if (run === undefined) return { ok: false, where: stage, address, code: 1 };
		if (write ? !run.permissions.write : !run.permissions.read) return { ok: false, where: "permission", address, code: 2 };
		if (write) (table as RunTable).wrote(address);
		return { ok: true, physical: run.pa + (address - run.iova), pageBytes: Number(PAGE) };
	}

	private throughUser(user: UserTable, parent: IommuTable, address: bigint, write: boolean): DmaAnswer {
		let stage2: (DmaFault & { ok: false }) | null = null;
		const read = (at: bigint) => {
			const found = this.lookUp(parent, at, false, "stage2");
			if (found.ok) return this.memory.read64(found.physical);
			stage2 = found;
			return undefined;
		};
		for (const leaf of this.memory.reader.leaves(user, read, address, address)) {
			if (write ? !leaf.permissions.write : !leaf.permissions.read) return { ok: false, where: "permission", address, code: 2 };
			return this.lookUp(parent, leaf.to + (address - leaf.address), write, "stage2");
		}
		return stage2 ?? { ok: false, where: "stage1", address, code: 1 };
	}

	private through(target: Target, address: bigint, write: boolean): DmaAnswer {
		if (target.kind === "host") return { ok: true, physical: address, pageBytes: Number(PAGE) };
		if (target.kind === "table") return this.lookUp(target.table, address, write, "stage1");
		if (target.kind === "user") return this.throughUser(target.user, target.parent, address, write);
		for (const { table, windows } of target.tables) if (windows.some(({ first, last }) => address >= first && address <= last)) return this.lookUp(table, address, write, "stage1");
		return { ok: false, where: "stage1", address, code: 1 };
	}

	translate(rid: number, pasid: number | null, address: bigint, access: "read" | "write"): DmaAnswer {
		const state = this.states.get(rid);
		const target = pasid === null ? state?.untagged : state?.pasids.get(pasid);
		if (target === undefined) return { ok: false, where: pasid === null ? "requester" : "pasid", code: 1 };
		return this.through(target, address, access === "write");
	}
}
