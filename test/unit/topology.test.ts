import { describe, expect, it } from "vitest";
import { CoreError, type Device, groupsOf, Machine, type TopologyFunction } from "../../ts/core/index.ts";
import { drivers } from "../../ts/driver/index.ts";
import { createUnits } from "../../ts/iommu/index.ts";

const groups = (...functions: TopologyFunction[]) => groupsOf(functions).map(({ members }) => members.join(" "));
const fn = (name: string, rid: number, more: Partial<TopologyFunction> = {}): TopologyFunction => ({ name, segment: 0, rid, ...more });

describe("groups of a topology", () => {
	const port = (acs: boolean) => fn("port", 0x08, { kind: "root-port", buses: [1, 1], acs });

	it("GR9 one function behind a port with ACS is alone, without ACS it is with the port", () => {
		expect(groups(port(true), fn("nic", 0x100))).toEqual(["port", "nic"]);
		expect(groups(port(false), fn("nic", 0x100))).toEqual(["port nic"]);
	});

	it("GR10 functions of one device are kept apart by ACS alone", () => {
		expect(groups(port(true), fn("f0", 0x100), fn("f1", 0x101))).toEqual(["port", "f0 f1"]);
		expect(groups(port(true), fn("f0", 0x100, { acs: true }), fn("f1", 0x101, { acs: true }))).toEqual(["port", "f0", "f1"]);
		// the same numbers in another segment are another device
		expect(groups(fn("a", 0x100), fn("b", 0x101, { segment: 1 }))).toEqual(["a", "b"]);
	});

	it("a switch isolates only if every port on the way up does", () => {
		const tree = (upstream: boolean, one: boolean) => [
			fn("root", 0x08, { kind: "root-port", buses: [1, 4], acs: true }),
			fn("up", 0x100, { kind: "switch-upstream", buses: [2, 4], acs: upstream }),
			fn("down1", 0x208, { kind: "switch-downstream", buses: [3, 3], acs: one }),
			fn("down2", 0x210, { kind: "switch-downstream", buses: [4, 4], acs: true }),
			fn("a", 0x300),
			fn("b", 0x400),
		];
		expect(groups(...tree(true, true))).toEqual(["root", "up", "down1", "down2", "a", "b"]);
		expect(groups(...tree(true, false))).toEqual(["root", "up", "down1 a", "down2", "b"]);
		expect(groups(...tree(false, true))).toEqual(["root", "up down1 down2 a b"]);
	});

	it("GR9 what lies behind a bridge to conventional PCI shares its requester id", () => {
		const found = groupsOf([port(true), fn("bridge", 0x100, { kind: "pcie-to-pci", buses: [2, 2] }), fn("hd", 0x200), fn("nic", 0x208)]);
		expect(found.map(({ members }) => members)).toEqual([["port"], ["bridge", "hd", "nic"]]);
		expect(found[1].sharedRids).toEqual([["bridge", "hd", "nic"]]);
	});

	it("GR9 aliases belong together", () => {
		expect(groupsOf([fn("a", 0x100), fn("b", 0x208, { aliases: [0x100, 0x999] })])).toEqual([{ members: ["a", "b"], sharedRids: [["a", "b"]] }]);
	});

	it("are given to the devices of a machine", () => {
		const { engine, units } = createUnits([{ name: "mmu", kind: "riscv" }], {});
		const machine = new Machine(engine, units);
		const made = machine.createGroups([port(true), fn("f0", 0x100), fn("f1", 0x101)]);
		const [f0, f1] = ["f0", "f1"].map((name, i) => machine.addDevice({ name, rid: 0x100 + i, driver: drivers["vfio-pci"], ...(made.has(name) ? { group: made.get(name) as Device["group"] } : {}) }));
		expect(f0.group).toBe(f1.group);
		expect([...f0.group.members]).toEqual([f0, f1]);
		expect(made.get("port")).not.toBe(f0.group);
	});

	it("refuses what is no topology", () => {
		for (const list of [[fn("a", 8), fn("b", 8)], [fn("p", 8, { kind: "root-port" })], [fn("p", 0x100, { kind: "root-port", buses: [1, 2] })], [fn("e", 8, { buses: [1, 1] })]]) {
			expect(() => groupsOf(list)).toThrow(CoreError);
		}
	});
});
