import { type Machine, PAGE, Space, VirtualMachine } from "../core/index.ts";
import { call, refuse } from "./errors.ts";
import type { IoasidFile } from "./ioasid.ts";

/** The KVM side of the doors: PASID translation for ENQCMD, the wbinvd contract, and PAPR's hypercall that maps. */
export class KvmVm extends VirtualMachine {
	private readonly windows = new Map<number, Space>();

	constructor(machine: Machine, name?: string) {
		super(machine, name);
	}

	/** The PASID is looked up here, never given by the user. @throws DoorError */
	mapIoasid(vpasid: number, file: IoasidFile, ioasid: number): void {
		const space = file.spaceOf(ioasid);
		call(() => this.mapPasid(vpasid, space), { NotFound: "ENOENT", Denied: "EPERM" });
	}

	/** @throws DoorError ENOENT */
	unmapIoasid(vpasid: number): void {
		call(() => this.unmapPasid(vpasid), { NotFound: "ENOENT" });
	}

	/** Let the guest's hypercalls name a window of a child. @throws DoorError EINVAL, EEXIST */
	addLiobn(liobn: number, file: IoasidFile, ioasid: number): void {
		const space = file.spaceOf(ioasid);
		if (!(space instanceof Space)) refuse("EINVAL", `kvm_add_liobn: it is not managed by map and unmap: ioasid ${ioasid}`);
		if (this.windows.has(liobn)) refuse("EEXIST", `kvm_add_liobn: liobn ${liobn} is taken`);
		this.windows.set(liobn, space);
	}

	/** H_PUT_TCE: set or clear one page of the window; what was there is replaced. @throws DoorError */
	putTce(liobn: number, ioba: bigint, tce: bigint, clear = false): void {
		const space = this.windows.get(liobn) ?? refuse("EINVAL", `h_put_tce: no liobn ${liobn}`);
		const window = space.windows?.find(({ first, last }) => ioba >= first && ioba <= last);
		if (space.windows !== null && window === undefined) refuse("EINVAL", `h_put_tce: no window lies at 0x${ioba.toString(16)}`);
		const page = window?.pageSize ?? PAGE;
		if (ioba & (page - 1n)) refuse("EINVAL", "h_put_tce: not at a page of the window");
		const old = space.areaAt(ioba);
		call(() => {
			if (old !== undefined) space.unmap(ioba, page, { cut: true, operation: "h_put_tce" });
			if (clear) return;
			try {
				space.map(ioba, page, { kind: "parent", address: tce & ~(page - 1n) }, { read: true, write: true }, "h_put_tce");
			} catch (error) {
				if (old !== undefined) space.map(ioba, page, old.backing, old.permissions, "h_put_tce");
				throw error;
			}
		});
	}
}
