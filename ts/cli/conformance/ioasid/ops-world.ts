/** Steps that make and change the world, and open and close files. */
import type { IommuDriver } from "../../../core/index.ts";
import { DoorError, IoasidFile } from "../../../uapi/index.ts";
import { CheckFailed, deviceOf, ioasid, type Operation, v1 } from "./ops.ts";
import { driverNamed, ScenarioDevice } from "./world.ts";

export const worldOps: Record<string, Operation> = {
	// units are made with the world
	iommu: ({ world, step }) => ({ bound: world.units.get(step.as as string) }),
	device({ world, names, step }) {
		const unit = names.get((step.iommu as string).slice(1)) as IommuDriver;
		const parent = step.parent === undefined ? undefined : names.ref(step.parent, ScenarioDevice);
		const alias = step.alias_of === undefined ? undefined : names.ref(step.alias_of, ScenarioDevice);
		const is = (key: string) => step[key] === true;
		const capabilities = {
			pasid: is("pasid"),
			dmwr: is("dmwr"),
			delegated: is("delegated"),
			pri: is("pri"),
			ats: is("ats"),
			noSnoop: is("no_snoop"),
			virtualTable: is("virt_table"),
			firmwareRanges: is("rmrr"),
		};
		return { bound: world.addDevice(step, unit, capabilities, parent, alias) };
	},
	probe(call) {
		call.world.machine.probe(deviceOf(call).device, driverNamed(call.step.driver));
		return undefined;
	},
	unplug(call) {
		const { device } = deviceOf(call);
		call.world.machine.unplug(device);
		return undefined;
	},
	proc({ world, step }) {
		const process = world.machine.createProcess(step.as as string);
		world.processes.set(step.as as string, process);
		return { bound: process };
	},
	mem({ names, step, caller }) {
		const va = names.number(step.va);
		caller.map(va, names.number(step.length));
		return { bound: va };
	},
	mem_drop({ names, step, caller }) {
		caller.unmap(names.number(step.va), names.number(step.length));
		return undefined;
	},
	mem_fill({ names, step, caller }) {
		caller.write(names.number(step.va), new Uint8Array(Number(names.number(step.length))).fill(Number(step.byte)));
		return undefined;
	},
	mem_check({ names, step, caller }) {
		const bytes = caller.read(names.number(step.va), Number(names.number(step.length)));
		const wrong = bytes.findIndex((byte) => byte !== Number(step.byte));
		if (wrong >= 0) throw new CheckFailed(`byte ${wrong} is ${bytes[wrong]}`);
		return undefined;
	},
	rlimit({ names, step, caller }) {
		caller.lockedLimit = Number(names.number(step.pages));
		return undefined;
	},
	locked({ names, step, caller }) {
		const expected = Number(names.number(step.pages));
		if (caller.locked !== expected) throw new CheckFailed(`${caller.locked} pages are locked`);
		return undefined;
	},
	open({ world, step }) {
		return { bound: world.open(step.node as string, step.as as string) };
	},
	close({ names, step }) {
		const file = names.ref(step.target, IoasidFile);
		if (file.isClosed) throw new DoorError("EINVAL", `close: ${file.context.name} is closed`);
		file.close();
		return undefined;
	},
	enable(call) {
		call.file().enable(ioasid(call));
		return undefined;
	},
	check_extension(call) {
		return { outputs: { value: call.file().checkExtension(call.step.ext as string) } };
	},
	bind(call) {
		const cookie = call.names.optional(call.step.cookie);
		call.file().bind(deviceOf(call).device, cookie);
		return undefined;
	},
	unbind(call) {
		const { device } = deviceOf(call);
		v1(call).unbind(device);
		return undefined;
	},
	device_close(call) {
		const { device, name } = deviceOf(call);
		if (!call.world.closeDevice(device)) throw new DoorError("EINVAL", `close: it is open nowhere: device ${name}`);
		return undefined;
	},
	device_mmap(call) {
		const { device } = deviceOf(call);
		if (!call.world.containerOf(device)?.isOpen(device)) call.file().deviceMmap(device);
		return undefined;
	},
	group_bind({ world, step, file }) {
		const group = world.groups.get(step.group as string);
		if (group === undefined) throw new DoorError("EINVAL", `group_bind: no group ${String(step.group)}`);
		file().groupBind(group.members);
		return undefined;
	},
	register_memory(call) {
		const { names, step, caller } = call;
		v1(call).registerMemory(caller, names.number(step.vaddr), names.number(step.size));
		return undefined;
	},
	unregister_memory(call) {
		const { names, step, caller } = call;
		v1(call).unregisterMemory(caller, names.number(step.vaddr), names.number(step.size));
		return undefined;
	},
	assert_num({ names, step }) {
		const value = names.number(step.value);
		const inside = (range: unknown) => {
			const [first, last] = (range as unknown[]).map((one) => names.number(one));
			return value >= first && value <= last;
		};
		if (step.eq !== undefined && value !== names.number(step.eq)) throw new CheckFailed(`${value} is not ${names.number(step.eq)}`);
		if (step.ne !== undefined && value === names.number(step.ne)) throw new CheckFailed(`${value} is ${value}`);
		if (step.in !== undefined && !inside(step.in)) throw new CheckFailed(`${value} is outside`);
		if (step.not_in !== undefined && inside(step.not_in)) throw new CheckFailed(`${value} is inside`);
		if (step.multiple_of !== undefined && value % names.number(step.multiple_of) !== 0n) throw new CheckFailed(`${value} is no multiple`);
		return undefined;
	},
};
