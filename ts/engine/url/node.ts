import { readFile } from "node:fs/promises";

/** URL of the raw engine module, for hosts that read and compile it themselves. */
export const engineUrl: URL = new URL("../../../engine.wasm", import.meta.url);

/** Read and compile the engine. */
export async function loadEngineModule(): Promise<WebAssembly.Module> {
	return WebAssembly.compile(await readFile(engineUrl));
}
