// node bench/huge.mjs EVENTS FILE [stream|whole|faults|WHATIF[=VALUE]]: writes a synthetic run (.iot or .csv), replays it (as a stream
// unless "whole"), or takes its history or a what-if of it as a stream, and prints what that took.
// One JSON line; rss is of this process, whose writing holds no more than a chunk either. With node --expose-gc, held is the most
// that buffers and heap held after a collection, whatever else the machine did meanwhile.
import { rmSync, writeSync, openSync, closeSync, statSync } from "node:fs";
import { exporterFor } from "../dist/ts/replay/exporters/index.js";
import { faultReportOf } from "../dist/ts/replay/history.js";
import { replay } from "../dist/ts/replay/replay.js";
import { openTrace } from "../dist/ts/replay/stream.js";
import { whatIfs } from "../dist/ts/replay/whatif/index.js";
import { whatIf } from "../dist/ts/replay/whatif/run.js";
import { synthetic } from "./synthetic.mjs";

const [events, path, how = "stream"] = [Number(process.argv[2]), process.argv[3], process.argv[4]];
const seconds = (since) => Number(((performance.now() - since) / 1000).toFixed(2));
let started = performance.now();
const file = openSync(path, "w");
for await (const piece of exporterFor(path).encode(synthetic(events))) writeSync(file, piece);
closeSync(file);
const written = seconds(started);
try {
	started = performance.now();
	let held = 0;
	const collect = () => {
		// twice: buffers that the first run frees are swept beside the program, and the second waits for that
		globalThis.gc?.();
		globalThis.gc?.();
		const { arrayBuffers, heapUsed } = process.memoryUsage();
		held = Math.max(held, arrayBuffers + heapUsed);
	};
	const measured = (figures) => console.log(JSON.stringify({ ...figures, bytes: statSync(path).size, written, took: seconds(started), ...(globalThis.gc ? { held } : {}), rss: process.resourceUsage().maxRSS * 1024 }));
	if (how === "stream" || how === "whole") {
		const { dma, iotlb, events: replayed, refusedEdits, importSeconds } = await replay(path, { stream: how === "stream", ...(globalThis.gc ? { onProgress: ({ phase }) => phase === "replay" && collect() } : {}) });
		measured({ events: replayed, dma, iotlb, refusedEdits, importSeconds });
	} else {
		const trace = await openTrace(path, { stream: true });
		const passing = { ...trace, async *chunks() {
			for await (const columns of trace.chunks()) {
				if (globalThis.gc) collect();
				yield columns;
			}
		} };
		if (how === "faults") {
			const { total, maps } = await faultReportOf(passing);
			measured({ events: trace.head.events, total, maps: maps.maps });
		} else {
			const [name, value] = how.split("=");
			const { variants } = await whatIf(passing, [{ name, value: whatIfs.find((one) => one.name === name).parse(value ?? true) }]);
			measured({ events: trace.head.events, figures: variants[0].figures });
		}
	}
} finally {
	rmSync(path);
}
