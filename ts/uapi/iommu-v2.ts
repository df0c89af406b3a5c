import { IdentitySpace, type Process, Space, SvaSpace } from "../core/index.ts";
import { refuse } from "./errors.ts";
import { IoasidFile } from "./ioasid.ts";
import { type AllocOptions, type DeviceInfo, type InvalidateOptions, permitted } from "./ioasid-types.ts";

/**
 * The July 2021 text, /dev/iommu: devices are bound under the user's cookie and tell what they can do; an IOASID gets its
 * kind, parent and format at birth.
 */
export class IommuV2 extends IoasidFile {
	/** Make an address space. @throws DoorError EINVAL, EOPNOTSUPP (unknown format) */
	alloc(caller: Process, options: AllocOptions = {}): number {
		const operation = "alloc";
		this.open(operation);
		const { kind = "kernel", snoop, iopf, windows, userPgtable, userPasidTable } = options;
		if (snoop === "no" && !this.policy.noSnoopExt) refuse("EINVAL", `${operation}: every IOASID enforces snooping`);
		const parent = this.parentSpace(operation, options.parent);
		const extra = { ...this.options(), ...(snoop === undefined ? {} : { snoop }), ...(iopf === undefined ? {} : { iopf }) };
		if ((userPgtable !== undefined || userPasidTable !== undefined) !== (kind === "user")) refuse("EINVAL", `${operation}: a user table, and nothing else, has the kind user`);
		if (windows && kind !== "kernel") refuse("EINVAL", `${operation}: only kernel-managed spaces have windows`);
		if (parent?.kind === "sva" && kind !== "user") refuse("EINVAL", `${operation}: a shared space is the parent of user tables only`);
		if (parent?.kind === "memory" && kind !== "kernel") refuse("EINVAL", `${operation}: a memory root is the parent of kernel-managed spaces only`);
		if (kind === "user") {
			if (parent === null) refuse("EINVAL", `${operation}: a user table needs a parent`);
			if (userPgtable !== undefined && userPasidTable !== undefined) refuse("EINVAL", `${operation}: a page table or a PASID table, not both`);
			if (userPasidTable !== undefined) return this.add(this.newPasidTable(parent, userPasidTable, extra));
			if (userPgtable === undefined) refuse("EINVAL", `${operation}: no table`);
			return this.add(this.newUserSpace(parent, this.userTable(userPgtable.format, userPgtable.addr, userPgtable.width), extra));
		}
		if (kind === "identity") {
			if (parent === null) refuse("EINVAL", `${operation}: an identity space needs a parent`);
			return this.add(new IdentitySpace(parent, extra));
		}
		if (kind === "dummy" || kind === "sva") {
			if (parent !== null) refuse("EINVAL", `${operation}: it takes no parent`);
			return this.add(kind === "sva" ? new SvaSpace(caller, extra) : new Space(null, { ...extra, memoryOnly: true }));
		}
		return this.add(new Space(parent, { ...extra, ...(windows ? { windows } : {}) }));
	}

	/** What the device behind a cookie can do. @throws DoorError ENOENT */
	deviceGetInfo(cookie: bigint): DeviceInfo {
		this.open("device_get_info");
		const [device] = this.context.byCookie(cookie);
		if (device === undefined) refuse("ENOENT", `device_get_info: no device has cookie ${cookie}`);
		const { reserved, addressBits, pageSizes, nesting, enforcesSnoop, pasidBits, pasidTables, format } = device.iommu.capabilities;
		return {
			ranges: permitted(reserved, (1n << BigInt(addressBits)) - 1n),
			addrWidth: addressBits,
			pageSizes,
			nesting,
			snoopEnforce: enforcesSnoop,
			formats: nesting === "hw" ? [format] : nesting === "sw" ? this.machine.tableReader.formats : [],
			pasidBits: device.capabilities.pasid && !this.hidesPasids(device) ? pasidBits : 0,
			pasidTable: pasidTables && device.capabilities.delegated,
			pri: device.capabilities.pri,
		};
	}

	/** Drop cached answers of one cache. @throws DoorError EOPNOTSUPP, EINVAL */
	invalidate(ioasid: number, options: InvalidateOptions = {}): void {
		const { cache = "iotlb" } = options;
		if (cache === "pasid" && this.spaceOf(ioasid).kind !== "pasid-table") refuse("EINVAL", `invalidate: it has no PASID table: ioasid ${ioasid}`);
		this.drop(ioasid, { iotlb: cache === "iotlb", deviceTlb: cache === "devtlb", pasid: cache === "pasid" }, options);
	}
}
