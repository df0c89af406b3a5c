/** Bytes of a type that a user hands to the driver of a unit. */
export interface UserData {
	/** number of the format */
	readonly type: number;
	/** bytes */
	readonly length: number;
	/** the user gave no place */
	readonly isNull: boolean;
	/** @throws what the caller's memory refuses with */
	read(offset: number, length: number): Uint8Array;
	write(offset: number, data: Uint8Array): void;
}
