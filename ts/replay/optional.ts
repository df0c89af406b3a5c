/** Packages that only some formats need: optional peer dependencies, loaded when they are used. */
import { ReplayError } from "./errors.ts";

/**
 * Loads a package; `why` says what needs it, `install` all the packages that go with it.
 * @throws ReplayError absent, one line that says what to install
 */
export async function optional<Module>(name: string, why: string, install: string): Promise<Module> {
	try {
		// not a literal, so that bundlers do not ask for a package that need not be there
		return (await import(/* @vite-ignore */ name)) as Module;
	} catch (cause) {
		const { code } = cause as { code?: string };
		if (code !== "ERR_MODULE_NOT_FOUND" && globalThis.process?.versions?.node !== undefined) throw cause;
		throw new ReplayError("absent", `${why} needs the package ${name}, which is not installed: npm install ${install}`, null, null, { cause });
	}
}
