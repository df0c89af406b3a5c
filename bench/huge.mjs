// node bench/huge.mjs EVENTS FILE: writes a synthetic run (.iot or .csv), replays it as a stream, and prints what that took.
// One JSON line; rss is of this process, whose writing holds no more than a chunk either.
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
	const { dma, iotlb, events: replayed, refusedEdits, importSeconds } = await replay(path, { stream: stream === "stream" });
	const replayedIn = seconds(started);
	console.log(JSON.stringify({ events: replayed, dma, iotlb, refusedEdits, bytes: statSync(path).size, written, importSeconds, replayedIn, rss: process.resourceUsage().maxRSS * 1024 }));
} finally {
	rmSync(path);
}
