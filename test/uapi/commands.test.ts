/** Every command as bytes: sizes, reserved fields, flags, pointers, numbers of objects and the order of the checks. */
import { beforeEach, describe, expect, it } from "vitest";
import { COMMANDS } from "../../ts/uapi/abi/commands.ts";
import { type Row, ROWS } from "./command-table.ts";
import { ARRAY, encode, type Fields, type Kind, layoutOf, READ_ONLY, STRUCT_PAGE, Zoo } from "./command-world.ts";

const KINDS: readonly Kind[] = ["ioas", "device", "paging", "nested", "fault", "viommu", "vdevice", "veventq", "hw_queue", "access", "selftest"];

let zoo: Zoo;
beforeEach(() => {
	zoo = new Zoo();
});

it("covers every command", () => expect([...Object.keys(ROWS), "test"].sort()).toEqual(Object.keys(COMMANDS).sort()));

describe.each(Object.entries(ROWS) as Array<[keyof typeof ROWS, Row]>)("%s", (name, row) => {
	const { nr } = COMMANDS[name];
	const layout = layoutOf(nr);
	const { size, min } = layout;
	const ask = (fields: Fields, bytes = size) => zoo.ask(nr, encode(layout, bytes, fields));
	/** A call that is refused, and changes nothing. */
	const refused = (fields: Fields, errno: string, why: string, bytes = size) => {
		const before = zoo.dump();
		expect(ask(fields, bytes), why).toBe(errno);
		expect(zoo.dump(), why).toEqual(before);
	};

	it("is done", () => expect(ask(row.valid(zoo))).toBe("ok"));

	it("is done for the oldest and for newer callers", () => {
		expect(ask(row.valid(zoo), min)).toBe("ok");
		zoo = new Zoo();
		expect(ask(row.valid(zoo), size + 64)).toBe("ok");
		zoo = new Zoo();
		expect(zoo.ask(nr, encode(layout, 4096, row.valid(zoo)))).toBe("ok");
	});

	it("refuses sizes", () => {
		const fields = row.valid(zoo);
		for (const short of [0, 4, min - 4, min - 1]) {
			zoo.process.write(STRUCT_PAGE, encode(layout, size, fields));
			zoo.process.write(STRUCT_PAGE, new Uint8Array(new Uint32Array([short]).buffer));
			expect(zoo.raw(0x3b00 + nr, STRUCT_PAGE), `${short} bytes`).toBe("EINVAL");
		}
		for (const at of [size, size + 1, size + 63]) {
			const bytes = encode(layout, size + 64, fields);
			bytes[at] = 1;
			expect(zoo.ask(nr, bytes), `byte ${at}`).toBe("E2BIG");
		}
	});

	it("refuses structs that are not memory", () => {
		const bytes = encode(layout, size, row.valid(zoo));
		for (const bad of [0n, 8n, STRUCT_PAGE + 0x1000n, STRUCT_PAGE + 0xffcn + 1n, (1n << 63n) + 8n, (1n << 64n) - 4n]) expect(zoo.raw(0x3b00 + nr, bad), `0x${bad.toString(16)}`).toBe("EFAULT");
		// the struct goes on where there is none
		const cut = STRUCT_PAGE + 0x1000n - BigInt(size) + 1n;
		zoo.process.write(cut, bytes.subarray(0, size - 1));
		expect(zoo.raw(0x3b00 + nr, cut)).toBe("EFAULT");
		// it fits the page to its last byte
		expect(zoo.ask(nr, bytes, STRUCT_PAGE + 0x1000n - BigInt(size))).toBe("ok");
	});

	it("refuses reserved fields and unknown flags", () => {
		const fields = row.valid(zoo);
		for (const field of row.reserved ?? []) refused({ ...fields, [field]: 1 }, "EOPNOTSUPP", field);
		if (row.flags !== undefined) {
			for (let bit = 0; bit < 32; bit++) {
				if ((row.flags >>> bit) & 1) continue;
				refused({ ...fields, flags: Number(fields.flags ?? 0) | (1 << bit) }, "EOPNOTSUPP", `flag ${bit}`);
			}
		}
		for (const field of row.unread ?? []) {
			zoo = new Zoo();
			expect(ask({ ...row.valid(zoo), [field]: 1 }), field).toBe("ok");
		}
	});

	it("refuses pointers that lead nowhere", () => {
		for (const [field, { null: none, other, written }] of Object.entries(row.pointers ?? {})) {
			const fields = row.valid(zoo);
			refused({ ...fields, [field]: 0n }, none, `${field} null`);
			for (const bad of [STRUCT_PAGE + 0x10_0000n, (1n << 63n) + 0x1000n, (1n << 64n) - 0x2000n]) refused({ ...fields, [field]: bad }, other, `${field} 0x${bad.toString(16)}`);
			if (written) refused({ ...fields, [field]: READ_ONLY }, "EFAULT", `${field} read-only`);
		}
	});

	it("refuses numbers of nothing and of other kinds", () => {
		for (const [field, { takes, none, other }] of Object.entries(row.ids ?? {})) {
			const fields = row.valid(zoo);
			for (const id of [0, 999, 0x7fff_ffff, 0x8000_0000, 0xffff_ffff]) refused({ ...fields, [field]: id }, none, `${field} ${id}`);
			for (const kind of KINDS) if (!takes.includes(kind)) refused({ ...fields, [field]: zoo.id(kind) }, other, `${field} of a ${kind}`);
		}
	});

	it("checks in its order", () => {
		const order = row.order ?? [];
		order.forEach(([, errno], i) => {
			// what comes first is put in last
			let fields = row.valid(zoo);
			for (const [patch] of order.slice(i).reverse()) fields = patch(fields);
			refused(fields, errno, `check ${i + 1}`);
		});
		for (const [patch, errno] of row.refused ?? []) refused(patch(row.valid(zoo)), errno, errno);
	});
});

describe("what is only told by tables and devices", () => {
	it("a table that records no writes", () => {
		const hwpt_id = zoo.id("parent");
		expect(zoo.ask(0x8b, encode(layoutOf(0x8b), 16, { flags: 1, hwpt_id }))).toBe("EOPNOTSUPP");
		expect(zoo.ask(0x8c, encode(layoutOf(0x8c), 48, { hwpt_id, iova: zoo.area, length: 0x4000n, page_size: 0x1000n, data: ARRAY }))).toBe("EOPNOTSUPP");
	});

	it("written pages are told until the caller has them", () => {
		const hwpt_id = zoo.tracked();
		const read = (data: bigint, flags = 0) => zoo.ask(0x8c, encode(layoutOf(0x8c), 48, { hwpt_id, flags, iova: zoo.area, length: 0x4000n, page_size: 0x800n, data }));
		const bits = () => {
			const [byte] = zoo.process.read(ARRAY + 3n, 1);
			zoo.process.write(ARRAY + 3n, Uint8Array.of(0));
			return byte;
		};
		expect([read(READ_ONLY), read(8n), read(ARRAY + 3n, 1), bits()]).toEqual(["EFAULT", "EFAULT", "ok", 1]);
		expect([read(ARRAY + 3n), bits(), read(ARRAY + 3n), bits()]).toEqual(["ok", 1, "ok", 0]);
	});

	it("an invalidation tells how many entries were done, also when one is refused", () => {
		const done = (fields: Fields) => {
			const outcome = zoo.ask(0x8d, encode(layoutOf(0x8d), 32, { hwpt_id: zoo.id("nested"), data_type: 0xdeadbeef, entry_len: 8, ...fields }));
			return [outcome, new DataView(zoo.process.read(STRUCT_PAGE + 24n, 4).buffer).getUint32(0, true)];
		};
		expect(done({ data_uptr: zoo.words(0n, 1n << 32n, 9n << 32n, 0n), entry_num: 4 })).toEqual(["EINVAL", 2]);
		expect(done({ data_uptr: zoo.words(0n, 2n, 0n), entry_num: 3 })).toEqual(["EOPNOTSUPP", 1]);
		// the second entry lies where there is no memory
		expect(done({ data_uptr: ARRAY + 0xff8n, entry_num: 2 })).toEqual(["EFAULT", 1]);
		expect(done({ data_uptr: 0n, entry_num: 0 })).toEqual(["ok", 0]);
		expect(done({ hwpt_id: 999, data_uptr: ARRAY, entry_num: 3 })).toEqual(["ENOENT", 0]);
	});

	it("a short array of ranges is filled as far as it goes, and the number that is needed comes back", () => {
		const layout = layoutOf(0x84);
		const ask = (num_iovas: number) => {
			zoo.process.write(ARRAY, new Uint8Array(64).fill(0xee));
			const outcome = zoo.ask(0x84, encode(layout, 32, { ioas_id: zoo.id("ioas_empty"), num_iovas, allowed_iovas: ARRAY }));
			const view = new DataView(zoo.process.read(STRUCT_PAGE, 32).buffer);
			return [outcome, view.getUint32(8, true), view.getBigUint64(24, true)];
		};
		const { client } = zoo;
		zoo.test("add_reserved", { id: zoo.id("ioas_empty"), u: { add_reserved: { start: 0x1000n, length: 0x1000n } } });
		expect([ask(0), ask(1), ask(2), ask(3)].map(([outcome, num, granule]) => [outcome, num, granule])).toEqual([["EMSGSIZE", 2, 1n], ["EMSGSIZE", 2, 1n], ["ok", 2, 1n], ["ok", 2, 1n]]);
		zoo.process.write(ARRAY, new Uint8Array(64).fill(0xee));
		zoo.ask(0x84, encode(layout, 32, { ioas_id: zoo.id("ioas_empty"), num_iovas: 1, allowed_iovas: ARRAY }));
		expect([...new BigUint64Array(zoo.process.read(ARRAY, 32).buffer)]).toEqual([0n, 0xfffn, 0xeeee_eeee_eeee_eeeen, 0xeeee_eeee_eeee_eeeen]);
		expect(client.ioasIovaRanges({ ioas_id: zoo.id("ioas_empty"), num_iovas: 2, allowed_iovas: new Uint8Array(32) }).num_iovas).toBe(2);
	});

	it("the driver's own length comes back, whatever was asked for", () => {
		for (const [data_len, data_uptr, zeroed] of [[0, 0n, 0], [4, ARRAY, 0], [8, ARRAY, 0], [24, ARRAY, 16]] as const) {
			zoo.process.write(ARRAY, new Uint8Array(32).fill(0xee));
			expect(zoo.ask(0x8a, encode(layoutOf(0x8a), 40, { dev_id: zoo.id("device"), data_len, data_uptr }))).toBe("ok");
			const view = new DataView(zoo.process.read(STRUCT_PAGE, 40).buffer);
			expect([view.getUint32(12, true), view.getUint32(24, true), view.getUint8(28), view.getBigUint64(32, true)]).toEqual([8, 0xfeedbeef, 20, 1n]);
			const bytes = zoo.process.read(ARRAY, 32);
			expect([...bytes.subarray(Math.min(8, data_len), data_len)]).toEqual(new Array(zeroed).fill(0));
			expect([...bytes.subarray(data_len)].every((byte) => byte === 0xee)).toBe(true);
		}
	});
});
