/** The iommufd doors that scenarios run against: by methods, and by ioctls on structs in process memory. */
import type { FileShape } from "./contract.ts";
import { iommufdScenarios } from "./iommufd.ts";
import type { IommufdDoor } from "./iommufd-door.ts";
import { IommufdMachine } from "./iommufd-machine.ts";
import { deviceSteps } from "./iommufd-ops-device.ts";
import { memorySteps } from "./iommufd-ops-memory.ts";
import { queueSteps } from "./iommufd-ops-queue.ts";
import { Steps } from "./iommufd-steps.ts";
import { binary, type Transport, typed } from "./iommufd-transport.ts";
import { FEATURES } from "./iommufd-vocabulary.ts";

function createDoor(transport: (world: IommufdMachine) => Transport): IommufdDoor {
	const world = new IommufdMachine();
	const main = world.machine.createProcess("main");
	const process = world.addProcess(main);
	const fd = world.remember(main, world.nodes.open("/dev/iommu", main, world.credentials()).fd);
	const steps = new Steps(world, transport(world));
	return {
		features: new Set(FEATURES),
		start: { fd, process },
		physicalOf(va) {
			try {
				return main.physical(va);
			} catch {
				return undefined;
			}
		},
		finish: () => world.finish(),
		...memorySteps(steps),
		...deviceSteps(steps),
		...queueSteps(steps),
	};
}

export const typedDoor = (): IommufdDoor => createDoor(typed);
export const binaryDoor = (): IommufdDoor => createDoor(binary);

const faces = [iommufdScenarios(typedDoor), iommufdScenarios(binaryDoor)];

/** Scenarios through both faces: one passes when it passes at each. */
export const iommufd: FileShape = {
	recognises: (content) => faces[0].recognises(content),
	*run(content, wanted, options) {
		const [typedRun, binaryRun] = faces.map((face) => [...face.run(content, wanted, options)]);
		for (const [i, verdict] of typedRun.entries()) {
			const other = binaryRun[i];
			if (verdict.outcome !== "passed" || other.outcome === "passed") yield verdict;
			else yield { ...other, expected: `by ioctl, ${other.expected}` };
		}
	},
};
