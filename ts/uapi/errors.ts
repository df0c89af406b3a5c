import { CoreError, type CoreReason } from "../core/index.ts";
import type { ErrnoName } from "./errno.ts";

/** A call at a door was refused; nothing has changed. `cause` is core's own error, when it came from there. */
export class DoorError extends Error {
	override readonly name = "DoorError";

	constructor(
		readonly errno: ErrnoName,
		message: string,
		options?: ErrorOptions,
	) {
		super(message, options);
	}
}

/** Reasons of core as errno values, where a door says nothing else. */
export const ERRNOS: Readonly<Record<CoreReason, ErrnoName>> = {
	Invalid: "EINVAL",
	Misaligned: "EINVAL",
	Overflow: "EINVAL",
	Reserved: "EINVAL",
	Occupied: "EEXIST",
	Cut: "EINVAL",
	NotFound: "EINVAL",
	Busy: "EBUSY",
	Excluded: "ENOTTY",
	Incomplete: "EDEADLK",
	Conflict: "EADDRINUSE",
	NoSpace: "ENOMEM",
	Exhausted: "ENOSPC",
	MemoryFault: "EFAULT",
	Denied: "EPERM",
	Unsupported: "EOPNOTSUPP",
};

/** Run one call of a door; what core refuses becomes an errno. @throws DoorError */
export function call<T>(act: () => T, errnos: Partial<Record<CoreReason, ErrnoName>> = {}): T {
	try {
		return act();
	} catch (error) {
		if (error instanceof CoreError) throw new DoorError(errnos[error.reason] ?? ERRNOS[error.reason], error.message, { cause: error });
		throw error;
	}
}

/** @throws DoorError */
export function refuse(errno: ErrnoName, message: string): never {
	throw new DoorError(errno, message);
}
