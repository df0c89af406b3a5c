/** The machine that a scenario runs on: units, devices, processes, open files and VMs. */
import { type Access, type Attachment, type Context, DEFAULT_POLICY, type Device, type DeviceDriver, type Group, type IommuDriver, Machine, type PageRequest, type Policy, type Process, V1_POLICY } from "../../../core/index.ts";
import { drivers } from "../../../driver/index.ts";
import { createUnits, userFormats } from "../../../iommu/index.ts";
import { type IoasidFile, IoasidV1, IommuV2, type KvmVm, VfioContainer } from "../../../uapi/index.ts";
import { type Scenario, ScenarioError, type Step } from "./values.ts";

const RAM = { start: 1n << 32n, size: 1n << 40n };
const BARS = { start: 1n << 42n, size: 1n << 41n };
const BAR_BYTES = 1n << 32n;

/** The driver that a step names; steps call pci-stub by its short name. @throws ScenarioError */
export function driverNamed(name: unknown): DeviceDriver {
	const driver = (drivers as Record<string, DeviceDriver>)[name === "stub" ? "pci-stub" : String(name)];
	if (driver === undefined) throw new ScenarioError(`no driver ${String(name)}`);
	return driver;
}

/** A device of a scenario, with what its driver keeps. */
export class ScenarioDevice {
	access: Access | null = null;
	/** the route that the access is of */
	attachment: Attachment | null = null;
	/** pinned ranges whose mappings went */
	readonly notices: Array<[bigint, bigint]> = [];

	constructor(
		readonly name: string,
		readonly device: Device,
		readonly driver: string,
		/** physical address of its region 0 */
		readonly bar: bigint,
	) {}
}

export class World {
	readonly machine: Machine;
	readonly units = new Map<string, IommuDriver>();
	readonly devices = new Map<string, ScenarioDevice>();
	readonly groups = new Map<string, Group<Device>>();
	readonly processes = new Map<string, Process>();
	readonly files: Array<IoasidV1 | IommuV2 | VfioContainer> = [];
	readonly vms: KvmVm[] = [];
	readonly requests: PageRequest[] = [];
	private nextRid = 8;
	readonly policy: Partial<Policy>;

	constructor(scenario: Scenario) {
		this.policy = { ...(scenario.uapi === "v1" ? V1_POLICY : DEFAULT_POLICY), ...(scenario.options as Partial<Policy>) };
		const configs = scenario.steps.filter(({ op }) => op === "iommu");
		const { engine, units } = createUnits(
			configs.map((step) => unitConfig(step)),
			{ memory: [{ kind: "sparse", ...RAM }, { kind: "sparse", ...BARS }], sparsePages: 4096, tables: { frames: 4096, count: 512 } },
		);
		this.machine = new Machine(engine, units, RAM);
		this.machine.tableReader = userFormats;
		configs.forEach((step, i) => {
			this.units.set(step.as as string, units[i]);
		});
		this.processes.set("main", this.machine.createProcess("main"));
	}

	addDevice(step: Step, unit: IommuDriver, capabilities: Record<string, boolean>, parent: ScenarioDevice | undefined, alias: ScenarioDevice | undefined): ScenarioDevice {
		const name = step.as as string;
		const driver = driverNamed(step.driver);
		let group: Group<Device> | undefined;
		if (typeof step.group === "string") {
			group = this.groups.get(step.group) ?? this.machine.createGroup(step.group);
			this.groups.set(step.group, group);
		} else if (driver.part && driver.name === "mdev-vf") group = parent?.device.group;
		else if (alias === undefined) group = this.machine.createGroup(`of ${name}`);
		const rid = this.nextRid;
		this.nextRid += 8;
		// a software part has no RID; the others have their parent's
		const partOf = parent !== undefined ? { parent: parent.device } : {};
		const device = this.machine.addDevice({
			name,
			rid,
			unit,
			driver,
			capabilities,
			...partOf,
			...(group === undefined ? {} : { group }),
			...(alias === undefined ? {} : { aliasOf: alias.device }),
		});
		const made = new ScenarioDevice(name, device, driver.name, BARS.start + BigInt(this.devices.size) * BAR_BYTES);
		this.devices.set(name, made);
		return made;
	}

	/** The device whose region 0 a physical address lies in. */
	barOf(physical: bigint): { device: ScenarioDevice; offset: bigint } | undefined {
		for (const device of this.devices.values()) if (physical >= device.bar && physical < device.bar + BAR_BYTES) return { device, offset: physical - device.bar };
		return undefined;
	}

	named(device: Device): ScenarioDevice {
		const found = this.devices.get(device.name);
		if (found === undefined) throw new ScenarioError(`no device ${device.name}`);
		return found;
	}

	open(node: string, name: string): IoasidV1 | IommuV2 | VfioContainer {
		const { machine, policy } = this;
		const file = node === "ioasid" ? new IoasidV1(machine, policy, name) : node === "vfio" ? new VfioContainer(machine, policy, name) : new IommuV2(machine, policy, name);
		this.files.push(file);
		return file;
	}

	fileOf(context: Context): IoasidFile | undefined {
		return this.files.find((file) => file.context === context);
	}

	containerOf(device: Device): VfioContainer | undefined {
		return this.files.find((file): file is VfioContainer => file instanceof VfioContainer && file.context === device.group.owner);
	}

	/** Number of a space at the door that it belongs to. */
	numberOf(attachment: Attachment): number | null {
		for (const file of this.files) {
			const number = file.numberOf(attachment.space);
			if (number !== null) return number;
		}
		return null;
	}

	/** Close a device at every door. False when it was open nowhere. */
	closeDevice(device: Device): boolean {
		const files = this.files.filter((file) => file.context.devices.has(device));
		const containers = files.filter((file) => file instanceof VfioContainer);
		const open = containers.filter((file) => file.isOpen(device));
		for (const container of open) container.closeDevice(device);
		if (!this.machine.isBound(device)) return open.length > 0;
		this.machine.release(device);
		return true;
	}

	/** The software side of a device through the space that it is attached to. */
	accessOf(scenario: ScenarioDevice): Access | undefined {
		const attachment = this.machine.routes.attachmentsOf(scenario.device).findLast(({ mode }) => mode === "sw");
		if (attachment === undefined) return undefined;
		if (scenario.attachment !== attachment || scenario.access?.space !== attachment.space) {
			scenario.access?.close();
			scenario.access = this.machine.openAccess(scenario.device, (iova, size) => scenario.notices.push([iova, size]));
			scenario.attachment = attachment;
		}
		return scenario.access ?? undefined;
	}

	/** Number on the bus for the PASID that the user names; null: untagged; undefined: the device never learned one. */
	busPasid(device: Device, pasid: number | undefined, queue: string | undefined): number | null | undefined {
		const attachments = this.machine.routes.attachmentsOf(device);
		if (queue !== undefined) return attachments.find(({ options }) => options.queue === queue)?.pasid ?? undefined;
		const driver = this.machine.driverOf(device, "dma");
		// software makes no DMA
		if (driver.software) return undefined;
		if (pasid === undefined) return driver.defaultPasid === undefined ? null : (driver.defaultPasid(device) ?? undefined);
		const attachment = attachments.find(({ vpasid, slot }) => vpasid === pasid && slot !== null);
		if (attachment !== undefined) return attachment.pasid;
		return device.isPart || device.capabilities.virtualTable ? undefined : pasid;
	}
}

/** What an `iommu` step describes. */
function unitConfig(step: Step) {
	const { as, format } = step as unknown as { as: string; format: "vtd" | "smmuv3" | "amdvi" | "riscv" | "ppc" };
	const number = (value: unknown) => (value === undefined ? undefined : Number(BigInt(value as string | number)));
	const nesting = (step.nesting as "hw" | "sw" | "none" | undefined) ?? (format === "ppc" ? "sw" : "hw");
	const reserved = (step.reserved as Array<[string, string]> | undefined)?.map(([first, last]) => ({ first: BigInt(first), last: BigInt(last) }));
	return {
		name: as,
		kind: format,
		addressBits: number(step.addr_width) ?? 48,
		pasidBits: number(step.pasid_bits) ?? (format === "ppc" ? 0 : 20),
		enforcesSnoop: (step.snoop_enforce as boolean | undefined) ?? true,
		nesting,
		maxDepth: number(step.max_depth) ?? (nesting === "hw" ? 2 : nesting === "sw" ? 4 : 1),
		pageSizes: step.page_sizes === undefined ? 0x40201000n : BigInt(step.page_sizes as string | number),
		reserved: reserved ?? [{ first: 0xfee00000n, last: 0xfeefffffn }],
		pasidTables: (step.pasid_table as boolean | undefined) ?? ["smmuv3", "amdvi", "riscv"].includes(format),
		dirty: (step.dirty as boolean | undefined) ?? true,
	};
}
