/** Steps that make DMA, take faults, run software and the VM's side, and look at the state. */
import { type Attachment, DEFAULT_POLICY, type DmaResult, type PageRequest } from "../../../core/index.ts";
import { DoorError, KvmVm } from "../../../uapi/index.ts";
import { type Call, CheckFailed, deviceOf, ioasid, type Operation, type Outcome, small } from "./ops.ts";
import type { ScenarioDevice } from "./world.ts";

const direction = (call: Call): "read" | "write" => (call.step.access === "w" ? "write" : "read");

/** A DMA with the PASID as the user names it (or as it is on the bus). */
function dma(call: Call, target: ScenarioDevice, address: bigint, access: "read" | "write"): DmaResult {
	const { world, step } = call;
	const raw = small(call, "raw_pasid");
	const pasid = raw ?? world.busPasid(target.device, small(call, "pasid"), step.queue as string | undefined);
	if (pasid === undefined) return { kind: "fault", fault: step.pasid === undefined && step.queue === undefined ? "blocked" : "pasid", code: 0 };
	const result = world.machine.dma(target.device, pasid, address, access);
	if (result.kind === "host" && target.device.isPart) return { kind: "fault", fault: "blocked", code: 0 };
	// the untagged requests of a part carry its hidden PASID
	if (result.kind === "fault" && result.fault === "pasid" && step.pasid === undefined && raw === undefined && step.queue === undefined) return { ...result, fault: "blocked" };
	return result;
}

function told(call: Call, result: DmaResult): Record<string, unknown> {
	const { world } = call;
	if (result.kind === "fault") return { fault: result.fault };
	if (result.kind === "host") return { host: true };
	const bar = world.barOf(result.physical);
	if (bar !== undefined) return { bar: bar.device, offset: bar.offset };
	return { hva: world.machine.ownerOf(result.physical)?.address };
}

/** The bytes of a range, page by page. */
function* pieces(call: Call, access: "read" | "write"): Iterable<{ result: DmaResult; bytes: number }> {
	const { names, step } = call;
	const target = deviceOf(call);
	let address = names.number(step.addr);
	for (let rest = Number(names.number(step.length)); rest > 0; ) {
		const bytes = Math.min(rest, Number(4096n - (address & 4095n)));
		yield { result: dma(call, target, address, access), bytes };
		address += BigInt(bytes);
		rest -= bytes;
	}
}

/** `pasid` undefined: a number that the device was never given. */
function fault(call: Call): { device: ScenarioDevice; pasid: number | null | undefined; address: bigint; write: boolean } {
	const device = deviceOf(call);
	const pasid = call.world.busPasid(device.device, small(call, "pasid"), undefined);
	return { device, pasid, address: call.names.number(call.step.addr), write: call.step.access === "w" };
}

function vm({ names, step }: Call): KvmVm {
	return names.ref(step.vm, KvmVm);
}

function access(call: Call) {
	const found = call.world.accessOf(deviceOf(call));
	if (found === undefined) throw new DoorError("EINVAL", `${call.step.op}: it is attached to nothing by software: device ${deviceOf(call).name}`);
	return found;
}

function request(call: Call, made: PageRequest): Outcome {
	call.world.requests.push(made);
	return { bound: made };
}

export const checkOps: Record<string, Operation> = {
	xlate(call) {
		return { outputs: told(call, dma(call, deviceOf(call), call.names.number(call.step.addr), direction(call))) };
	},
	dma_write(call) {
		const { world, step } = call;
		for (const { result, bytes } of pieces(call, "write")) {
			if (result.kind === "fault") return { outputs: { fault: result.fault } };
			world.machine.engine.memory.writeBytes(result.physical, new Uint8Array(bytes).fill(Number(step.byte)));
		}
		return { outputs: {} };
	},
	dma_read(call) {
		const { world, step } = call;
		for (const { result, bytes } of pieces(call, "read")) {
			if (result.kind === "fault") return { outputs: { fault: result.fault } };
			if (world.machine.engine.memory.read(result.physical, bytes).some((byte) => byte !== Number(step.byte))) throw new CheckFailed("other bytes");
		}
		return { outputs: {} };
	},
	slots(call) {
		const { device } = deviceOf(call);
		const attachments = [...call.world.machine.routes.attachmentsOf(device)];
		const order = (a: Attachment) => (a.vpasid === null ? -1 : a.vpasid);
		attachments.sort((a, b) => order(a) - order(b) || a.space.depth - b.space.depth);
		const slots = attachments.map((a) => ({ mode: a.mode, vpasid: a.vpasid, ioasid: call.world.numberOf(a) }));
		return { outputs: { slots, hw: device.requester.installedCount } };
	},
	ppasid(call) {
		const { device } = deviceOf(call);
		const vpasid = small(call, "vpasid") ?? null;
		const attachment = call.world.machine.routes.attachmentsOf(device).find((a) => a.vpasid === vpasid && a.pasid !== null);
		if (attachment === undefined) throw new DoorError("EINVAL", "no such route");
		return { bound: attachment.pasid };
	},
	// one number space for each requester
	pasid_space(call) {
		const { requester } = deviceOf(call).device;
		return { bound: requester.segment * 65536 + requester.rid };
	},
	group_info(call) {
		const { world } = call;
		const { group } = deviceOf(call).device;
		const members = [...group.members].map(({ name }) => name).sort();
		const blocked = group.owner !== null && [...group.members].every((member) => world.machine.routes.attachmentsOf(member).length === 0);
		let viable = true;
		try {
			world.machine.refuseUnviable(group, "group_info");
		} catch {
			viable = false;
		}
		const others = [...group.members].filter(({ isPart }) => !isPart);
		const sharesRid = others.some((a) => others.some((b) => a !== b && a.requester === b.requester));
		const shared = world.policy.subGroups === true ? sharesRid : others.length > 1;
		return {
			outputs: {
				state: group.owner === null ? "default" : blocked ? "blocked" : "user",
				owner: group.owner === null ? null : (world.files.find((file) => file.context === group.owner) ?? null),
				viable,
				shared_ioas: shared,
				members,
			},
		};
	},
	slot_history(call) {
		const { device } = deviceOf(call);
		// parts with a PASID of their own, or none, have no host domain
		const { defaultPasid, software } = call.world.machine.driverOf(device, "slot_history");
		return { outputs: { default_seen: defaultPasid === undefined && !software && device.requester.defaultSeen } };
	},

	page_request(call) {
		const { device, pasid, address, write } = fault(call);
		if (pasid === undefined) return { bound: { state: "invalid" } };
		return request(call, call.world.machine.requestPage(device.device, pasid, address, write ? "write" : "read"));
	},
	dma_miss(call) {
		const { device, pasid, address, write } = fault(call);
		const event = pasid === undefined ? null : call.world.machine.pageRequests.event(device.device, pasid, address, write, false);
		if (event === null || pasid === undefined) throw new DoorError("EINVAL", "dma_miss: its slot is empty");
		if (call.world.machine.dma(device.device, pasid, address, write ? "write" : "read").kind !== "fault") throw new CheckFailed("the DMA got through");
		call.world.machine.pageRequests.tell(event);
		return undefined;
	},
	inject_fault(call) {
		const { device, pasid, address, write } = fault(call);
		const wanted = small(call, "pasid") ?? null;
		const routes = call.world.machine.routes.attachmentsOf(device.device);
		const attachment = routes.findLast((a) => a.vpasid === wanted) ?? routes.find((a) => wanted !== null && a.mode === "pasid_table");
		if (attachment === undefined) throw new DoorError("EINVAL", "inject_fault: it has no such attachment");
		const event = call.world.machine.pageRequests.event(device.device, pasid ?? null, address, write, true) ?? {
			device: device.device,
			space: attachment.space,
			address,
			write,
			recoverable: true,
			vpasid: attachment.vpasid,
			ambiguous: false,
		};
		return request(call, call.world.machine.pageRequests.post({ event: { ...event, space: attachment.mode === "sw" ? attachment.space : event.space }, state: "pending", pasid: pasid ?? null, group: null }));
	},
	events: (call) => ({ outputs: { events: call.file().readEvents() } }),
	fault_respond(call) {
		const { names, step } = call;
		const cookie = names.optional(step.cookie);
		const vpasid = small(call, "vpasid");
		call.file().respond(ioasid(call), names.number(step.addr), step.code as "success", { ...(cookie === undefined ? {} : { cookie }), ...(vpasid === undefined ? {} : { vpasid }) });
		return undefined;
	},
	fault_state({ names, step }) {
		return { outputs: { state: (names.get((step.fault as string).slice(1)) as PageRequest).state } };
	},

	access_pin(call) {
		const { names, step } = call;
		const { id, addresses } = access(call).pin(names.number(step.iova), names.number(step.length), step.write === true);
		return { bound: id, outputs: { hva: addresses } };
	},
	access_unpin(call) {
		access(call).unpin(Number(call.names.number(call.step.pin)));
		return undefined;
	},
	access_rw(call) {
		const { names, step } = call;
		const iova = names.number(step.iova);
		const length = Number(names.number(step.length));
		if (step.dir === "write") access(call).write(iova, new Uint8Array(length).fill(Number(step.byte)));
		else if (access(call).read(iova, length).some((byte) => byte !== Number(step.byte))) throw new CheckFailed("other bytes");
		return undefined;
	},
	access_lookup_parent: (call) => ({ outputs: { addr: access(call).parentAddress(call.names.number(call.step.iova)) } }),
	access_notified(call) {
		return { outputs: { ranges: deviceOf(call).notices.splice(0) } };
	},

	vm({ world, step }) {
		const made = new KvmVm(world.machine, step.as as string);
		world.vms.push(made);
		return { bound: made };
	},
	vm_assign(call) {
		vm(call).assign(deviceOf(call).device, policyOf(call));
		return undefined;
	},
	kvm_pasid_cap(call) {
		vm(call).setTranslation(call.step.enable === true, policyOf(call));
		return undefined;
	},
	kvm_map_pasid(call) {
		vm(call).mapIoasid(Number(call.names.number(call.step.vpasid)), call.file(), ioasid(call));
		return undefined;
	},
	kvm_unmap_pasid(call) {
		vm(call).unmapIoasid(Number(call.names.number(call.step.vpasid)));
		return undefined;
	},
	enqcmd(call) {
		const { names, step, world } = call;
		const target = deviceOf(call);
		const result = vm(call).enqcmd(target.device, Number(names.number(step.vpasid)));
		if ("refused" in result) return { outputs: { refused: result.refused } };
		return { outputs: told(call, world.machine.dma(target.device, result.pasid, names.number(step.addr), direction(call))) };
	},
	mmio_pasid(call) {
		const { device, name } = deviceOf(call);
		const vpasid = small(call, "vpasid");
		if (!call.world.machine.routes.attachmentsOf(device).some((a) => a.vpasid === vpasid)) throw new DoorError("EPERM", `mmio: vPASID ${vpasid} was not given to it: device ${name}`);
		return undefined;
	},
	kvm_add_fd(call) {
		const { context, isClosed } = call.file();
		if (isClosed) throw new DoorError("EINVAL", `kvm_add_fd: ${context.name} is closed`);
		vm(call).addFile(context);
		return undefined;
	},
	kvm_del_fd(call) {
		vm(call).removeFile(call.file().context);
		return undefined;
	},
	wbinvd: (call) => ({ outputs: { real: vm(call).wbinvdIsReal } }),
	fd_wbinvd(call) {
		call.file().wbinvd();
		return undefined;
	},
	kvm_add_liobn(call) {
		vm(call).addLiobn(Number(call.names.number(call.step.liobn)), call.file(), ioasid(call));
		return undefined;
	},
	h_put_tce(call) {
		const { names, step } = call;
		vm(call).putTce(Number(names.number(step.liobn)), names.number(step.ioba), names.number(step.tce), step.clear === true);
		return undefined;
	},
};

function policyOf({ world }: Call) {
	return { ...DEFAULT_POLICY, ...world.policy };
}
