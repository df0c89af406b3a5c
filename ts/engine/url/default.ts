/** URL of the raw engine module, for hosts that fetch and compile it themselves. */
export const engineUrl: URL = new URL("../../../engine.wasm", import.meta.url);

/** Fetch and compile the engine. */
export async function loadEngineModule(): Promise<WebAssembly.Module> {
	return WebAssembly.compileStreaming(fetch(engineUrl));
}
