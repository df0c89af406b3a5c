/** Who pays for pinned pages: a user, a process, or nobody; the process's own count goes with it. */
import { type Account, CoreError, type ProcessMemory } from "../../core/index.ts";

export type AccountMode = "none" | "user" | "process";

/** Pages that users have locked, by user id. */
export type UserPagesLocked = Map<number, number>;

export class PinAccount implements Account {
	constructor(
		readonly process: ProcessMemory,
		readonly uid: number,
		readonly mode: AccountMode,
		private readonly users: UserPagesLocked,
	) {}

	/** @throws CoreError NoSpace over the limit of the process */
	charge(pages: number): void {
		if (this.mode === "process") this.process.charge(pages);
		if (this.mode === "user") {
			const locked = (this.users.get(this.uid) ?? 0) + pages;
			if (locked > this.process.lockedLimit) {
				throw new CoreError("NoSpace", `user ${this.uid} would lock ${locked} pages, the limit is ${this.process.lockedLimit}`, { operation: "charge", object: `user ${this.uid}` });
			}
			this.users.set(this.uid, locked);
		}
		this.process.pinnedVm += pages;
	}

	uncharge(pages: number): void {
		if (this.mode === "process") this.process.uncharge(pages);
		if (this.mode === "user") {
			const locked = (this.users.get(this.uid) ?? 0) - pages;
			if (locked === 0) this.users.delete(this.uid);
			else this.users.set(this.uid, locked);
		}
		this.process.pinnedVm -= pages;
	}
}
