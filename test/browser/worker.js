import { replay } from "ioasid";

globalThis.onmessage = async ({ data }) => {
	try {
		const blob = await (await fetch(data)).blob();
		globalThis.postMessage({ summary: await replay([blob]) });
	} catch (error) {
		globalThis.postMessage({ error: String(error?.stack ?? error) });
	}
};
