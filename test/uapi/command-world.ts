/** A world with an object of every kind, and commands as bytes at the offsets of layouts.json. */
import { readFileSync } from "node:fs";
import { MOCK } from "../../ts/uapi/abi/iommufd-test.ts";
import { APERTURE, FIXED, MEMORY, RW, World } from "../iommufd/world.ts";

type Layout = { nr: number; size: number; min: number; fields: Array<[name: string, offset: number, type: string]> };
const { commands } = JSON.parse(readFileSync(new URL("layouts.json", import.meta.url), "utf8")) as { commands: Record<string, Layout> };
const byNumber = new Map(Object.values(commands).map((layout) => [layout.nr, layout]));

export type Fields = Readonly<Record<string, number | bigint>>;
/** kinds of objects; `_free`, `_empty`, `parent`: another one of the kind */
export type Kind = "ioas" | "device" | "paging" | "nested" | "fault" | "viommu" | "vdevice" | "veventq" | "hw_queue" | "access" | "selftest";

/** one page of structs, with nothing behind it; arrays; memory that cannot be written */
export const STRUCT_PAGE = 0x3000_0000n;
export const ARRAY = 0x3001_0000n;
export const READ_ONLY = 0x3002_0000n;

export const layoutOf = (nr: number): Layout => byNumber.get(nr) as Layout;

/** The bytes of a command. */
export function encode({ fields }: Layout, size: number, values: Fields): Uint8Array {
	const bytes = new Uint8Array(Math.max(size, 80));
	const view = new DataView(bytes.buffer);
	const seen = new Set<string>();
	for (const [name, offset, type] of fields) {
		const plain = name.replace(/\[\d+\]$/, "");
		const value = plain === "size" ? size : values[seen.has(plain) ? `${plain}2` : plain];
		seen.add(plain);
		if (value === undefined) continue;
		if (type === "u64") view.setBigUint64(offset, BigInt(value), true);
		else if (type === "u16") view.setUint16(offset, Number(value), true);
		else if (type === "u8") view.setUint8(offset, Number(value));
		else view.setInt32(offset, Number(value) | 0, true);
	}
	return bytes.subarray(0, size);
}

/** All kinds of objects in one file, with an area at `area` and tables on it. */
export class Zoo extends World {
	readonly area: bigint = APERTURE + 0x10_0000n;
	readonly file4: number;
	private readonly ids = new Map<string, number>();

	constructor() {
		super(true);
		const { process, client, ids } = this;
		process.map(STRUCT_PAGE, 0x1000n);
		process.map(ARRAY, 0x1000n);
		process.map(READ_ONLY, 0x1000n);
		// frames of a first touch are no change
		for (const page of [STRUCT_PAGE, ARRAY, READ_ONLY]) process.write(page, new Uint8Array(0x1000));
		process.protect(READ_ONLY, 0x1000n, { read: true, write: false });
		const ioas = this.ioas();
		ids.set("ioas", ioas).set("ioas_empty", this.ioas());
		const device = this.mock(ioas, 4);
		ids.set("device", device.dev).set("selftest", device.stdev).set("device_free", this.mock(ioas, 4).dev);
		client.ioasMap({ flags: RW | FIXED, ioas_id: ioas, user_va: MEMORY, length: 0x4000n, iova: this.area });
		const table = (flags: number) => client.hwptAlloc({ flags, dev_id: device.dev, pt_id: ioas }).out_hwpt_id as number;
		ids.set("parent", table(1)).set("paging", table(3));
		const parent = ids.get("parent") as number;
		const viommu = () => client.viommuAlloc({ type: MOCK.viommuType, dev_id: device.dev, hwpt_id: parent }).out_viommu_id as number;
		ids.set("viommu", viommu()).set("viommu_free", viommu());
		ids.set("nested", client.hwptAlloc({ dev_id: device.dev, pt_id: parent, data_type: MOCK.hwptData, data_len: 8, data_uptr: new Uint8Array(8) }).out_hwpt_id as number);
		ids.set("fault", client.faultQueueAlloc({}).out_fault_id as number);
		const viommu_id = ids.get("viommu") as number;
		ids.set("vdevice", client.vdeviceAlloc({ viommu_id, dev_id: device.dev, virt_id: 9n }).out_vdevice_id as number);
		ids.set("veventq", client.veventqAlloc({ viommu_id, type: MOCK.veventqType, veventq_depth: 2 }).out_veventq_id as number);
		// another space, so that the area of the first one can be unmapped
		const other = this.ioas();
		const second = this.mock(other, 0);
		const base = client.hwptAlloc({ flags: 1, dev_id: second.dev, pt_id: other }).out_hwpt_id as number;
		client.ioasMap({ flags: RW | FIXED, ioas_id: other, user_va: MEMORY, length: 0x1000n, iova: APERTURE });
		const queues = client.viommuAlloc({ type: MOCK.viommuType, dev_id: second.dev, hwpt_id: base }).out_viommu_id as number;
		ids.set("hw_queue", client.hwQueueAlloc({ viommu_id: queues, type: MOCK.hwQueueType, index: 0, nesting_parent_iova: APERTURE, length: 0x1000n }).out_hw_queue_id as number);
		this.test("create_access", { id: this.ioas(), u: { create_access: { flags: 0 } } });
		ids.set("access", Math.max(...[...this.file.objects].map(({ id }) => id)));
		ids.set("access_free", this.ioas());
		this.file4 = this.memfd(0x4000n);
	}


	id(name: string): number {
		const known = this.ids.get(name);
		if (known === undefined) throw new Error(`no ${name} in the zoo`);
		return known;
	}

	/** A table that records writes, with a written page: bitmaps of it have a bit to set. */
	tracked(): number {
		const id = this.id("paging");
		this.client.hwptSetDirtyTracking({ flags: 1, hwpt_id: id });
		this.test("dirty", { id, u: { dirty: { iova: this.area, length: 0x1000n, page_size: 0x1000n, uptr: Uint8Array.of(1) } } });
		return id;
	}

	/** No area maps memory of the process any more. @returns no fields */
	emptied(): Fields {
		this.client.destroy({ id: this.id("hw_queue") });
		for (const { id, kind } of this.file.objects) if (kind === "ioas") this.client.ioasUnmap({ ioas_id: id, iova: 0n, length: (1n << 64n) - 1n });
		return {};
	}

	/** Words in the process's memory. @returns their address */
	words(...values: bigint[]): bigint {
		this.process.write(ARRAY + 0x800n, new Uint8Array(new BigUint64Array(values).buffer));
		return ARRAY + 0x800n;
	}

	/** An ioctl with the struct at an address. @returns "ok" or the errno */
	ask(nr: number, bytes: Uint8Array, at = STRUCT_PAGE): string {
		this.process.write(at, bytes);
		return this.raw(0x3b00 + nr, at);
	}

	raw(cmd: number, at: bigint): string {
		try {
			this.file.ioctl(this.caller, cmd, at);
			return "ok";
		} catch (error) {
			const { code } = error as { code?: string };
			if (code === undefined) throw error;
			return code;
		}
	}
}

