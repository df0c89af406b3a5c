// node bench/huge.mjs EVENTS FILE [stream|whole|faults|WHATIF[=VALUE]]: writes a synthetic run (.iot or .csv), replays it (as a stream
// unless "whole"), or takes its history or a what-if of it as a stream, and prints what that took.
// One JSON line; rss is of this process, whose writing holds no more than a chunk either. With node --expose-gc, held is the most
// that buffers and heap held after a collection, whatever else the machine did meanwhile.
import { rmSync, writeSync, openSync, closeSync, statSync } from "node:fs";
import { exporterFor } from "../dist/ts/replay/exporters/index.js";
import { replay } from "../dist/ts/replay/replay.js";
import { synthetic } from "./synthetic.mjs";

const [events, path, stream = "stream"] = [Number(process.argv[2]), process.argv[3], process.argv[4]];
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
	const { dma, iotlb, events: replayed, refusedEdits, importSeconds } = await replay(path, { stream: stream === "stream", ...(globalThis.gc ? { onProgress: ({ phase }) => phase === "replay" && collect() } : {}) });
	const replayedIn = seconds(started);
	console.log(JSON.stringify({ events: replayed, dma, iotlb, refusedEdits, bytes: statSync(path).size, written, importSeconds, replayedIn, ...(globalThis.gc ? { held } : {}), rss: process.resourceUsage().maxRSS * 1024 }));
} finally {
	rmSync(path);
}
