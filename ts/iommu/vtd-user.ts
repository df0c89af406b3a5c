import { CoreError, type Invalidated, type UserArray, type UserData, type UserInterface, type UserTable } from "../core/index.ts";
import type { Unit } from "../engine/index.ts";

// numbers and structs of linux/iommufd.h: iommu_hw_info_vtd, iommu_hwpt_vtd_s1, iommu_hwpt_vtd_s1_invalidate
const HW_INFO = 1;
const TABLE = { type: 1, size: 24 };
const INVALIDATE = { type: 0, size: 24 };
const LEAF = 1;
const PAGE = 0xfffn;
const EVERYTHING = 0xffff_ffff_ffff_ffffn;

const view = (bytes: Uint8Array) => new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);

/** What a VT-d unit offers users: its capability registers, and first-stage tables nested over a second stage. */
export function vtdUserCalls(name: string, unit: Unit, drop: (user: UserTable) => void): UserInterface {
	const refuse = (reason: "Invalid" | "Unsupported", what: string) => new CoreError(reason, what, { operation: "user_table", object: name });
	return {
		hardwareInfo(_rid, type) {
			if (type !== 0 && type !== HW_INFO) throw refuse("Unsupported", `no information of type ${type}`);
			const bytes = new Uint8Array(24);
			view(bytes).setBigUint64(8, unit.readRegister("CAP"), true);
			view(bytes).setBigUint64(16, unit.readRegister("ECAP"), true);
			return { type: HW_INFO, bytes };
		},
		createNested(_parent, data: UserData): UserTable {
			if (data.type !== TABLE.type) throw refuse("Unsupported", `no tables of type ${data.type}`);
			const words = view(data.take(TABLE.size, TABLE.size));
			const [flags, root, width, reserved] = [words.getBigUint64(0, true), words.getBigUint64(8, true), words.getUint32(16, true), words.getUint32(20, true)];
			// supervisor requests, extended access flags and write protection do not exist here
			if (flags !== 0n || reserved !== 0) throw refuse("Unsupported", `flags 0x${flags.toString(16)}`);
			if (width !== 48 && width !== 57) throw refuse("Invalid", `a table of ${width} bits`);
			if ((root & PAGE) !== 0n) throw refuse("Invalid", `a table at 0x${root.toString(16)}`);
			return { format: "vtd", root, width };
		},
		invalidate(table: UserTable, entries: UserArray): Invalidated {
			if (entries.type !== INVALIDATE.type) return { done: 0, refused: refuse("Invalid", `entries of type ${entries.type}`) };
			for (let done = 0; done < entries.count; done++) {
				try {
					const words = view(entries.take(done, INVALIDATE.size, INVALIDATE.size));
					const [address, pages, flags, reserved] = [words.getBigUint64(0, true), words.getBigUint64(8, true), words.getUint32(16, true), words.getUint32(20, true)];
					if ((flags & ~LEAF) !== 0 || reserved !== 0) throw refuse("Unsupported", `flags 0x${flags.toString(16)}`);
					if ((address & PAGE) !== 0n || (pages === EVERYTHING && address !== 0n)) throw refuse("Invalid", `0x${pages.toString(16)} pages at 0x${address.toString(16)}`);
					drop(table);
				} catch (error) {
					return { done, refused: error };
				}
			}
			return { done: entries.count, refused: undefined };
		},
	};
}
