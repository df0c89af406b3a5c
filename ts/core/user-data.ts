/** Bytes of a type that a user hands to the driver of a unit. */
export interface UserData {
	/** number of the format */
	readonly type: number;
	/** bytes */
	readonly length: number;
	/**
	 * The first `size` bytes; what the user leaves out is zero.
	 * @throws when there are fewer than `least`, when what is beyond is not zero, and what the caller's memory refuses with
	 */
	take(least: number, size: number): Uint8Array;
	/** Give bytes back, as many as the user has room for. */
	give(bytes: Uint8Array): void;
}
