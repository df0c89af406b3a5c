import { CoreError } from "./errors.ts";

/** What a PCI function is on its bus. */
export type FunctionKind = "endpoint" | "root-port" | "switch-upstream" | "switch-downstream" | "pcie-to-pci" | "pci-to-pcie";

/** A function of a PCI topology, as configuration space tells it. */
export interface TopologyFunction {
	name: string;
	segment: number;
	/** bus << 8 | device << 3 | function */
	rid: number;
	/** default `endpoint` */
	kind?: FunctionKind;
	/** bridges and ports: buses behind it, [secondary, subordinate] */
	buses?: readonly [secondary: number, subordinate: number];
	/** it sends peer requests upstream (ACS source validation, request and completion redirect, upstream forwarding); default false */
	acs?: boolean;
	/** requester ids that it uses besides its own (quirks, phantom functions) */
	aliases?: readonly number[];
}

/** Functions that the platform cannot keep apart, and those among them that it cannot tell apart. */
export interface TopologyGroup {
	members: string[];
	/** members whose requests carry one requester id */
	sharedRids: string[][];
}

const keyOf = (segment: number, rid: number) => segment * 65536 + rid;

/** Unites what belongs together; the first of a set stands for it. */
class Sets {
	private readonly above = new Map<number, number>();

	find(item: number): number {
		let at = item;
		for (let next = this.above.get(at); next !== undefined; next = this.above.get(at)) at = next;
		return at;
	}

	unite(a: number, b: number): void {
		const [one, two] = [this.find(a), this.find(b)];
		if (one !== two) this.above.set(Math.max(one, two), Math.min(one, two));
	}
}

/**
 * Isolation groups of a topology, as Linux's pci_device_group makes them: functions share a group when peer traffic between
 * them can bypass the IOMMU (no ACS on the functions of one device, or on a port on the way up), when they lie behind one
 * PCIe-to-PCI bridge (which speaks for its bus), or when one uses the other's requester id.
 * @throws CoreError Occupied (two functions at one address), Invalid (a bridge without buses, buses that overlap)
 */
export function groupsOf(functions: readonly TopologyFunction[]): TopologyGroup[] {
	const at = new Map<number, number>();
	functions.forEach((fn, index) => {
		const key = keyOf(fn.segment, fn.rid);
		const other = at.get(key);
		if (other !== undefined) throw new CoreError("Occupied", `${functions[other].name} is there`, { operation: "groupsOf", object: `function ${fn.name}` });
		const bridge = (fn.kind ?? "endpoint") !== "endpoint";
		if (bridge !== (fn.buses !== undefined) || (fn.buses !== undefined && (fn.buses[0] > fn.buses[1] || fn.buses[0] <= fn.rid >> 8))) {
			throw new CoreError("Invalid", "a bridge has buses behind it, below its own, and nothing else has", { operation: "groupsOf", object: `function ${fn.name}` });
		}
		at.set(key, index);
	});

	/** The bridge directly above a function: the one of its segment whose secondary bus it is on. */
	const above = (fn: TopologyFunction) => functions.findIndex((one) => one.segment === fn.segment && one.buses?.[0] === fn.rid >> 8);

	const groups = new Sets();
	const rids = new Sets();
	functions.forEach((fn, index) => {
		// functions of one device reach each other inside it, unless each forwards upstream
		if (!fn.acs) {
			functions.forEach((other, j) => {
				if (j !== index && other.segment === fn.segment && other.rid >> 3 === fn.rid >> 3 && !other.acs) groups.unite(index, j);
			});
		}
		for (const alias of fn.aliases ?? []) {
			const other = at.get(keyOf(fn.segment, alias));
			if (other === undefined) continue;
			groups.unite(index, other);
			rids.unite(index, other);
		}
		for (let bridge = above(fn), steps = 0; bridge >= 0 && steps < 256; bridge = above(functions[bridge]), steps++) {
			const port = functions[bridge];
			// a bridge to conventional PCI takes ownership of what comes from its bus
			if (port.kind === "pcie-to-pci") {
				groups.unite(index, bridge);
				rids.unite(index, bridge);
			} else if (!port.acs && port.kind !== "pci-to-pcie") groups.unite(index, bridge);
		}
	});

	const members = new Map<number, number[]>();
	functions.forEach((_, index) => {
		const root = groups.find(index);
		members.set(root, [...(members.get(root) ?? []), index]);
	});
	return [...members.values()].map((list) => {
		const shared = new Map<number, string[]>();
		for (const index of list) shared.set(rids.find(index), [...(shared.get(rids.find(index)) ?? []), functions[index].name]);
		return { members: list.map((index) => functions[index].name), sharedRids: [...shared.values()].filter((names) => names.length > 1) };
	});
}
