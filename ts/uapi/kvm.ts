import { type AddressSpace, type Machine, Space, VirtualMachine } from "../core/index.ts";
import { call, refuse } from "./errors.ts";
import type { IoasidFile } from "./ioasid.ts";

/** The KVM side of the doors: PASID translation for ENQCMD, the wbinvd contract, and PAPR's hypercall that maps. */
export class KvmVm extends VirtualMachine {
	private readonly windows = new Map<number, { file: IoasidFile; ioasid: number; space: AddressSpace }>();

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

	/** Let the guest's hypercalls name a child, as long as it lives. @throws DoorError EINVAL, EEXIST */
	addLiobn(liobn: number, file: IoasidFile, ioasid: number): void {
		const space = file.spaceOf(ioasid);
		if (!(space instanceof Space) || space.parent === null) refuse("EINVAL", `kvm_add_liobn: it is no child that is managed by map and unmap: ioasid ${ioasid}`);
		if (this.windows.get(liobn)?.space.isFreed === false) refuse("EEXIST", `kvm_add_liobn: liobn ${liobn} is taken`);
		this.windows.set(liobn, { file, ioasid, space });
	}

	/** H_PUT_TCE: set or clear one page of the window; what was there is replaced. @throws DoorError, as map and unmap */
	putTce(liobn: number, ioba: bigint, tce: bigint, clear = false): void {
		const known = this.windows.get(liobn);
		if (known === undefined || known.space.isFreed) refuse("EINVAL", `h_put_tce: no liobn ${liobn}`);
		known.file.putPage(known.ioasid, ioba, clear ? null : tce);
	}
}
