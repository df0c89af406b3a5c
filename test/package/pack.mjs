// Packs the built package and installs the tarball in an empty project, as a user would.
import { execFileSync } from "node:child_process";
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";

export const root = fileURLToPath(new URL("../..", import.meta.url));
export const cutTrace = join(root, "test/traces/vtd_mixed_cut.merged.csv.gz");

/** Runs a program and gives its stdout; what it says on stderr goes into the error when it fails. */
export function run(command, args, cwd) {
	const env = { ...process.env, NO_COLOR: "1" };
	// npm hands its own settings (a prefix, --silent) down to scripts; the npm started here must not see them.
	for (const name of Object.keys(env)) if (/^npm_(?!config_(?:registry|cache|userconfig)$)/i.test(name)) delete env[name];
	try {
		return execFileSync(command, args, { cwd, env, encoding: "utf8", stdio: ["ignore", "pipe", "pipe"], maxBuffer: 1 << 28 });
	} catch (error) {
		throw new Error(`${command} ${args.join(" ")}: ${error.message}\n${error.stdout ?? ""}`);
	}
}

/** The tarball's path and the files in it. */
export function pack(into) {
	const [{ filename, files }] = JSON.parse(run("npm", ["pack", "--json", "--pack-destination", into], root));
	return { tarball: join(into, filename), files: files.map(({ path }) => path) };
}

/** A temporary project with the packed package in its node_modules. */
export function installPacked() {
	const directory = mkdtempSync(join(tmpdir(), "ioasid-packed-"));
	process.on("exit", () => rmSync(directory, { recursive: true, force: true, maxRetries: 3 }));
	const packed = pack(directory);
	writeFileSync(join(directory, "package.json"), JSON.stringify({ name: "user", private: true, type: "module" }));
	run("npm", ["install", "--no-audit", "--no-fund", packed.tarball], directory);
	return { directory, ...packed };
}

/** Named checks, reported one per line; `finish` prints the counts and sets the exit code. */
export function checks() {
	let passed = 0;
	let failed = 0;
	return {
		async check(name, body) {
			try {
				await body();
				passed++;
				console.log(`ok   ${name}`);
			} catch (error) {
				failed++;
				console.log(`FAIL ${name}\n     ${String(error?.message ?? error).replaceAll("\n", "\n     ")}`);
			}
		},
		finish() {
			console.log(`${passed} passed, ${failed} failed`);
			if (failed > 0) process.exitCode = 1;
		},
	};
}
