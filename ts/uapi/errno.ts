/** Linux error numbers: x86-64, the generic table of errno-base.h and errno.h. */
const ERRNO = {
	EPERM: 1,
	ENOENT: 2,
	ESRCH: 3,
	EINTR: 4,
	EIO: 5,
	ENXIO: 6,
	E2BIG: 7,
	EBADF: 9,
	EAGAIN: 11,
	ENOMEM: 12,
	EACCES: 13,
	EFAULT: 14,
	EBUSY: 16,
	EEXIST: 17,
	EXDEV: 18,
	ENODEV: 19,
	ENOTDIR: 20,
	EISDIR: 21,
	EINVAL: 22,
	ENFILE: 23,
	EMFILE: 24,
	ENOTTY: 25,
	EFBIG: 27,
	ENOSPC: 28,
	ESPIPE: 29,
	EROFS: 30,
	EPIPE: 32,
	EDOM: 33,
	ERANGE: 34,
	EDEADLK: 35,
	ENOSYS: 38,
	EBADE: 52,
	ENODATA: 61,
	EBADFD: 77,
	EOVERFLOW: 75,
	EMSGSIZE: 90,
	EOPNOTSUPP: 95,
	EADDRINUSE: 98,
	ETIMEDOUT: 110,
	EALREADY: 114,
	ECANCELED: 125,
} as const;

export type ErrnoName = keyof typeof ERRNO;

const NAMES = new Map<number, ErrnoName>(Object.entries(ERRNO).map(([name, number]) => [number, name as ErrnoName]));

/** The positive number of a name. */
export const errnoOf = (name: ErrnoName): number => ERRNO[name];

export const isErrnoName = (name: unknown): name is ErrnoName => typeof name === "string" && Object.hasOwn(ERRNO, name);

/** The name of a number of either sign; undefined when no door returns it. */
export const errnoName = (number: number): ErrnoName | undefined => NAMES.get(Math.abs(number));

/** A refusal as a system call tells it. Doors throw it; the file turns it into a negative number. */
export class Errno extends Error {
	override readonly name = "Errno";

	constructor(
		readonly code: ErrnoName,
		/** what was refused and why */
		why: string,
		options?: ErrorOptions,
	) {
		super(`${code}: ${why}`, options);
	}

	/** as the system call returns it */
	get result(): number {
		return -ERRNO[this.code];
	}
}
