// Compiles every build of the engine. The release build goes as base64 into ts/engine/bytes.generated.ts, so that the
// package needs no file access and no bundler configuration; the raw modules go to dist/ for `ioasid/engine.wasm` and
// `ioasid/engine.debug.wasm`.
import { mkdirSync, readFileSync, writeFileSync } from "node:fs";
import { fileURLToPath } from "node:url";
import asc from "assemblyscript/asc";

const root = new URL("..", import.meta.url);
const path = (name) => fileURLToPath(new URL(name, root));
process.chdir(path("."));

mkdirSync(path("build"), { recursive: true });
mkdirSync(path("dist"), { recursive: true });

// Formats, device tables and table accesses are chosen when the engine is compiled (`changetype<F>(0)`): their methods
// are what the type says, never looked up at run time, for which an @unmanaged object has no class id.
const OVERRIDDEN = 1 << 28; // CommonFlags.Overridden
const CONTRACTS = ["assembly/format/contract/PtFormat", "assembly/device/contract/DeviceTables", "assembly/walk/TableAccess", "assembly/device/ats-rules/AtsRules", "assembly/queue/contract/CommandQueue"];
const direct = {
	afterInitialize(program) {
		for (const name of CONTRACTS) {
			for (const member of program.elementsByName.get(name).instanceMembers.values()) {
				member.flags &= ~OVERRIDDEN;
				member.unboundOverrides = null;
			}
		}
	},
};

const builds = { release: "engine.wasm", debug: "engine.debug.wasm" };
for (const target of Object.keys(builds)) {
	const { error, stderr } = await asc.main(["assembly/index.ts", "--target", target, "--config", "asconfig.json"], { transforms: [direct] });
	if (/AS228/.test(stderr.toString())) console.error(stderr.toString());
	if (error) {
		console.error(stderr.toString());
		console.error(`engine build "${target}" failed: ${error.message}`);
		process.exit(1);
	}
}

const release = readFileSync(path(`build/${builds.release}`)).toString("base64");
writeFileSync(path("ts/engine/bytes.generated.ts"), `// Written by assembly/build.mjs.\nexport const release = "${release}";\n`);
for (const file of Object.values(builds)) writeFileSync(path(`dist/${file}`), readFileSync(path(`build/${file}`)));
