import { expect } from "vitest";
import type { Machine } from "../../ts/core/index.ts";
import { Errno } from "../../ts/uapi/errno.ts";

/** Refuse the first allocation of `act`, the second, and so on till none is left to refuse: each time it is ENOMEM, and all is as before. `counts`: how many were made then. */
export function failEach(world: { machine: Machine; dump(): unknown }, act: () => void, counts: (refused: number, allocations: number) => boolean = () => true): void {
	const { failures } = world.machine;
	const state = world.dump();
	let failed = 0;
	for (let n = 1; ; n++) {
		failures.failAfter(n);
		try {
			act();
			break;
		} catch (error) {
			expect(error).toBeInstanceOf(Errno);
			expect((error as Errno).code).toBe("ENOMEM");
			expect([counts(n, failures.allocations), failures.pending]).toEqual([true, false]);
			expect(world.dump()).toEqual(state);
			failed++;
		}
		expect(n).toBeLessThan(100);
	}
	expect(failures.pending).toBe(true);
	expect(failed).toBeGreaterThan(0);
}
