/** Each allocation on the way of each command fails in turn: a typed error, and everything is as before. */
import { describe, expect, it } from "vitest";
import { COMMANDS } from "../../ts/uapi/abi/commands.ts";
import { TEST_OP } from "../../ts/uapi/abi/iommufd-test.ts";
import { Errno } from "../../ts/uapi/errno.ts";
import { COMMAND_CASES } from "./fail-cases.ts";
import { failEach } from "./fail-each.ts";
import { FILE_CASES, OPERATION_CASES } from "./fail-operations.ts";
import type { Case } from "./fail-states.ts";
import { World } from "./world.ts";

type Named = [name: string, one: Case];
const named = (table: Readonly<Record<string, Record<string, Case>>>): Named[] => Object.entries(table).flatMap(([name, cases]) => Object.entries(cases).map(([what, one]): Named => [`${name}: ${what}`, one]));
const ALL = [COMMAND_CASES, OPERATION_CASES, FILE_CASES].flatMap(named);

function end(world: World): void {
	world.machine.failures.failAfter(0);
	world.process.exit();
	expect([world.machine.framesPinned, world.machine.framesUsed, world.file.objects.describe(), world.selftest.iommu.tableCount]).toEqual([0, 0, [], 0]);
}

it("every command and every operation has its cases", () => {
	expect([...Object.keys(COMMAND_CASES), "test"].sort()).toEqual(Object.keys(COMMANDS).sort());
	expect(Object.keys(OPERATION_CASES).sort()).toEqual(Object.keys(TEST_OP).sort());
	for (const cases of [...Object.values(COMMAND_CASES), ...Object.values(OPERATION_CASES)]) expect(Object.keys(cases).length).toBeGreaterThan(0);
});

describe("each allocation fails in turn", () => {
	// pages that a process touches for the first time stay with it when what follows fails
	const runs = ALL.flatMap(([name, one]) => [true, false].map((touched): [string, boolean, Case] => [name, touched, one])).filter(([, touched, { allocates }]) => allocates === "always" || (allocates === "untouched" && !touched));
	it.each(runs)("of %s, memory touched before: %s", (_, touched, { setUp }) => {
		const world = new World(touched);
		const act = setUp(world);
		failEach(world, act, (refused, allocations) => allocations === refused);
		end(world);
	});

	it.each(ALL.filter(([, { allocates }]) => allocates !== "always"))("of %s: there is none", (_, { setUp }) => {
		const world = new World(true);
		const act = setUp(world);
		world.machine.failures.failAfter(0);
		act();
		expect(world.machine.failures.allocations).toBe(0);
		end(world);
	});
});

describe("a caller whose struct cannot be written", () => {
	/** those that give nothing back, what the kernel lets stand, and what has changed nothing */
	const silent = /^(destroy|ioas_allow_iovas|option|vfio_ioas|ioas_unmap|hwpt_|ioas_change_process|mock_domain_replace|pasid_|access_r|trigger_|add_reserved|memory_limit|check_|dmabuf_|dirty|destroy_access_pages|the )/;
	const answering = ALL.filter(([name]) => !silent.test(name) || name.startsWith("hwpt_alloc"));
	it.each(answering)("gets EFAULT and nothing of %s", (_, { setUp }) => {
		const world = new World(true);
		const act = setUp(world);
		const state = world.dump();
		const call = world.file.call.bind(world.file);
		world.file.call = (command, given) =>
			call(command, {
				...given,
				respond() {
					throw new Errno("EFAULT", "no struct");
				},
			});
		expect(act).toThrow("EFAULT");
		expect(world.dump()).toEqual(state);
	});
});
