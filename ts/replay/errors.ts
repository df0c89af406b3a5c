/** Why an input could not be imported. */
export type ReplayErrorCode =
	/** the file cannot be opened or read */
	| "unreadable"
	/** no importer knows the content */
	| "unrecognised"
	/** `strict` was asked for and a line could not be read */
	| "damaged"
	/** the inputs do not belong together: two of one side, or two different runs */
	| "mismatch"
	/** a trace file of a version that this ioasid does not know */
	| "version"
	/** an optional package that the format needs is not installed */
	| "absent";

/** An input that cannot be imported, with the place where that showed. */
export class ReplayError extends Error {
	readonly code: ReplayErrorCode;
	/** base name of the input; null when several are meant */
	readonly file: string | null;
	/** 1-based; null when the whole file is meant */
	readonly line: number | null;

	constructor(code: ReplayErrorCode, message: string, file: string | null = null, line: number | null = null, options?: ErrorOptions) {
		super(message, options);
		this.name = "ReplayError";
		this.code = code;
		this.file = file;
		this.line = line;
	}
}
