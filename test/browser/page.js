// Run in Chromium by run.mjs, which calls these functions from outside.
import { replay } from "ioasid";
import { loadEngineModule } from "ioasid/url";

globalThis.inPage = async () => replay([await (await fetch("/trace")).blob()]);
globalThis.fromStream = async () => replay([(await fetch("/trace")).body]);
globalThis.engineImports = async () => WebAssembly.Module.imports(await loadEngineModule()).length;
globalThis.inWorker = () =>
	new Promise((resolve, reject) => {
		const worker = new Worker(new URL("./worker.js", import.meta.url), { type: "module" });
		worker.onmessage = ({ data }) => ("summary" in data ? resolve(data.summary) : reject(new Error(data.error)));
		worker.onerror = (event) => reject(new Error(event.message || "the worker did not load"));
		worker.postMessage("/trace");
	});
globalThis.ready = true;
