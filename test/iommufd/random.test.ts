/** Random commands against a model of mappings, tables and pins. */
import { describe, expect, it } from "vitest";
import { PAGE } from "../../ts/core/index.ts";
import { Errno } from "../../ts/uapi/errno.ts";
import { IoasEntity, PagingEntity } from "../../ts/uapi/iommufd/entities.ts";
import type { MockTable } from "../../ts/uapi/iommufd/mock-iommu.ts";
import { Random } from "../model/random.ts";
import { APERTURE, FIXED, MEMORY, RW, World } from "./world.ts";

const HALF = PAGE / 2n;
const PAGES = 24;

/** One mapping: what it reaches, and of which MAP call its pages are. */
interface Mapped {
	first: bigint;
	length: bigint;
	va: bigint;
	call: number;
}
interface Pinned {
	ioas: number;
	iova: bigint;
	length: bigint;
	id: number;
	/** pages by MAP call */
	pages: Array<[call: number, page: bigint]>;
}

class Model {
	readonly world = new World();
	readonly spaces = new Map<number, Mapped[]>();
	readonly devices: Array<{ stdev: number; dev: number }> = [];
	readonly manual: number[] = [];
	readonly accesses: Array<{ fd: number; ioas: number; pins: Pinned[] }> = [];
	calls = 0;

	constructor(private readonly random: Random) {
		for (let i = 0; i < 2; i++) this.spaces.set(this.world.ioas(), []);
	}

	pick(n: number): number {
		return this.random.below(n);
	}
	one<T>(list: readonly T[]): T | undefined {
		return list[this.pick(Math.max(1, list.length))];
	}
	ioas(): number {
		return this.one([...this.spaces.keys()]) as number;
	}
	address(unit: bigint): bigint {
		return APERTURE + BigInt(this.pick(32)) * unit;
	}

	private meets(list: Mapped[], first: bigint, length: bigint): Mapped[] {
		return list.filter((area) => area.first < first + length && area.first + area.length > first);
	}

	/** Run a call that the model says may fail or not. */
	attempt(act: () => void): boolean {
		try {
			act();
			return true;
		} catch (error) {
			if (!(error instanceof Errno)) throw error;
			return false;
		}
	}

	map(): void {
		const ioas = this.ioas();
		const list = this.spaces.get(ioas) as Mapped[];
		const length = BigInt(1 + this.pick(6)) * HALF;
		const va = MEMORY + BigInt(this.pick(2 * PAGES - 12)) * HALF;
		const fixed = this.pick(2) === 0;
		let iova = this.address(HALF);
		const free = !fixed || this.meets(list, iova, length).length === 0;
		const done = this.attempt(() => {
			iova = this.world.client.ioasMap({ flags: RW | (fixed ? FIXED : 0), ioas_id: ioas, user_va: va, length, iova }).iova as bigint;
		});
		// a pinning access wants whole pages: then it may be refused although there is room
		if (!done) return;
		expect(free).toBe(true);
		expect(this.meets(list, iova, length)).toEqual([]);
		list.push({ first: iova, length, va, call: this.calls++ });
	}

	unmap(): void {
		const ioas = this.ioas();
		const list = this.spaces.get(ioas) as Mapped[];
		const first = this.address(HALF);
		const length = BigInt(1 + this.pick(12)) * HALF;
		const done = this.attempt(() => this.world.client.ioasUnmap({ ioas_id: ioas, iova: first, length }));
		const met = this.meets(list, first, length).sort((a, b) => (a.first < b.first ? -1 : 1));
		const out = met.findIndex((area) => area.first < first || area.first + area.length > first + length);
		expect(done).toBe(met.length > 0 && out < 0);
		for (const area of out < 0 ? met : met.slice(0, out)) {
			list.splice(list.indexOf(area), 1);
			for (const access of this.accesses) {
				if (access.ioas !== ioas) continue;
				access.pins = access.pins.filter((pin) => pin.iova >= area.first + area.length || pin.iova + pin.length <= area.first);
			}
		}
	}

	copy(): void {
		const [from, to] = [this.ioas(), this.ioas()];
		const source = this.one(this.spaces.get(from) as Mapped[]);
		if (source === undefined) return;
		const skip = BigInt(this.pick(Number(source.length / HALF))) * HALF;
		const length = source.length - skip;
		let iova = this.address(HALF);
		const input = { flags: RW | FIXED, dst_ioas_id: to, src_ioas_id: from, length, dst_iova: iova, src_iova: source.first + skip };
		const done = this.attempt(() => {
			iova = this.world.client.ioasCopy(input).dst_iova as bigint;
		});
		if (done) (this.spaces.get(to) as Mapped[]).push({ first: iova, length, va: source.va + skip, call: source.call });
	}

	attach(): void {
		if (this.devices.length >= 4) return;
		const pt = this.pick(3) === 0 ? (this.one(this.manual) ?? this.ioas()) : this.ioas();
		this.attempt(() => this.devices.push(this.world.mock(pt)));
	}
	detach(): void {
		const device = this.one(this.devices);
		if (device === undefined) return;
		this.world.client.destroy({ id: device.stdev });
		this.devices.splice(this.devices.indexOf(device), 1);
	}
	replace(): void {
		const device = this.one(this.devices);
		if (device === undefined) return;
		const pt_id = this.pick(2) === 0 ? (this.one(this.manual) ?? this.ioas()) : this.ioas();
		this.attempt(() => this.world.test("mock_domain_replace", { id: device.stdev, u: { mock_domain_replace: { pt_id } } }));
	}
	table(): void {
		const device = this.one(this.devices);
		if (device === undefined || this.manual.length >= 3) return;
		this.attempt(() => this.manual.push(this.world.client.hwptAlloc({ dev_id: device.dev, pt_id: this.ioas() }).out_hwpt_id as number));
	}
	drop(): void {
		const table = this.one(this.manual);
		if (table === undefined) return;
		if (this.attempt(() => this.world.client.destroy({ id: table }))) this.manual.splice(this.manual.indexOf(table), 1);
	}

	access(): void {
		if (this.accesses.length >= 2) return;
		const ioas = this.ioas();
		this.attempt(() => {
			const fd = this.world.test("create_access", { id: ioas, u: { create_access: { flags: 1 } } }).u?.create_access?.out_access_fd as number;
			this.accesses.push({ fd, ioas, pins: [] });
		});
	}
	pin(): void {
		const access = this.one(this.accesses);
		if (access === undefined) return;
		const iova = this.address(PAGE);
		const length = BigInt(1 + this.pick(3)) * PAGE;
		const pages: Pinned["pages"] = [];
		for (let at = iova; at < iova + length; at += PAGE) {
			const area = (this.spaces.get(access.ioas) as Mapped[]).find((one) => one.first <= at && one.first + one.length > at);
			if (area === undefined) break;
			pages.push([area.call, (area.va + (at - area.first)) / PAGE]);
		}
		this.attempt(() => {
			const id = this.world.test("access_pages", { id: access.fd, u: { access_pages: { iova, length } } }).u?.access_pages?.out_access_pages_id as number;
			expect(pages).toHaveLength(Number(length / PAGE));
			access.pins.push({ ioas: access.ioas, iova, length, id, pages });
		});
	}
	unpin(): void {
		const access = this.one(this.accesses);
		const pin = access === undefined ? undefined : this.one(access.pins);
		if (access === undefined || pin === undefined) return;
		this.world.test("destroy_access_pages", { id: access.fd, u: { destroy_access_pages: { access_pages_id: pin.id } } });
		access.pins.splice(access.pins.indexOf(pin), 1);
	}
	close(): void {
		const access = this.one(this.accesses);
		if (access === undefined) return;
		this.world.caller.descriptors.close(access.fd);
		this.accesses.splice(this.accesses.indexOf(access), 1);
	}
	reserve(): void {
		this.attempt(() => this.world.test("add_reserved", { id: this.ioas(), u: { add_reserved: { start: this.address(PAGE) + 0x10_0000n, length: PAGE } } }));
	}

	/** Tables hold what the model maps, byte for byte; pages are pinned as often as the model says. */
	check(): void {
		const { world } = this;
		const withTable = new Set<number>();
		const wrong: string[] = [];
		for (const entity of world.file.objects) {
			if (!(entity instanceof PagingEntity)) continue;
			withTable.add(entity.ioas.id);
			const table = entity.table.hardware as MockTable;
			const list = this.spaces.get(entity.ioas.id) as Mapped[];
			let bytes = 0n;
			for (const { first, length, va } of list) {
				bytes += length;
				for (let at = 0n; at < length; at += HALF) {
					const user = va + at;
					if (table.physical(first + at) !== world.process.frameOf(user) + (user & (PAGE - 1n))) wrong.push(`table ${entity.id} at ${first + at}`);
				}
			}
			if ([...table.content].reduce((sum, { size }) => sum + size, 0n) !== bytes) wrong.push(`table ${entity.id} has ${[...table.content].length} runs`);
		}
		const pins = new Map<bigint, Set<number>>();
		const pin = (page: bigint, call: number) => pins.set(page, (pins.get(page) ?? new Set()).add(call));
		for (const [ioas, list] of this.spaces) {
			if (withTable.has(ioas)) for (const { va, length, call } of list) for (let page = va / PAGE; page <= (va + length - 1n) / PAGE; page++) pin(page, call);
		}
		for (const { pins: held } of this.accesses) for (const { pages } of held) for (const [call, page] of pages) pin(page, call);
		let charged = 0;
		for (let page = MEMORY / PAGE; page < MEMORY / PAGE + BigInt(PAGES); page++) {
			const expected = pins.get(page)?.size ?? 0;
			charged += expected;
			const got = world.process.pinsOf(page * PAGE);
			if (got !== expected) wrong.push(`page ${page - MEMORY / PAGE} has ${got} pins, not ${expected}`);
		}
		if (world.process.pinnedVm !== charged) wrong.push(`${world.process.pinnedVm} pages are charged, not ${charged}`);
		for (const entity of world.file.objects) {
			if (entity instanceof IoasEntity && entity.space.areas.size !== this.spaces.get(entity.id)?.length) wrong.push(`ioas ${entity.id} has ${entity.space.areas.size} areas`);
		}
		expect(wrong).toEqual([]);
	}
}

describe("random commands", () => {
	it.each([1, 2, 3, 4, 5, 6, 7, 8, 9, 10])("keep tables and pins as a model has them, seed %i", (seed) => {
		const model = new Model(new Random(seed));
		const moves = ["map", "map", "map", "unmap", "copy", "attach", "detach", "replace", "table", "drop", "access", "pin", "unpin", "close", "reserve"] as const;
		for (let step = 0; step < 250; step++) {
			model[moves[model.pick(moves.length)]]();
			model.check();
		}
		expect(model.calls).toBeGreaterThan(10);
		const { world } = model;
		world.process.exit();
		expect([world.machine.framesPinned, world.machine.framesUsed, world.file.objects.describe(), world.selftest.iommu.tableCount, world.process.pinnedVm, world.host.locked.size]).toEqual([0, 0, [], 0, 0, 0]);
	});
});
