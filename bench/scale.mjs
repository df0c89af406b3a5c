/**
 * npm run bench:scale: 65,536 devices and 100,000 IOASIDs on one machine, set up and torn down; what each of them takes.
 * Arguments: kind of unit (riscv), devices, IOASIDs, IOASIDs that devices are attached to.
 */
import { createUnits, drivers, IommuV2, Machine, userFormats } from "../dist/ts/index.js";

const [kind = "riscv", devices = "65536", ioasids = "100000", used = "4096"] = process.argv.slice(2);
const DEVICES = Number(devices);
const IOASIDS = Number(ioasids);
const USED = Number(used);
const RAM = { start: 1n << 32n, size: 1n << 36n };
const BASE = 0x4000_0000n;

const settle = () => {
	for (let i = 0; i < 3; i++) globalThis.gc?.();
	return process.memoryUsage().heapUsed;
};
const rows = [];
/** Time of a phase, and bytes of JavaScript for each of `count`. */
function phase(what, count, act) {
	const before = settle();
	const start = performance.now();
	act();
	const ms = performance.now() - start;
	rows.push({ phase: what, ms: Math.round(ms), "us each": ((ms * 1000) / count).toFixed(2), "JS bytes each": Math.round((settle() - before) / count) });
}

const { engine, units } = createUnits(
	[{ name: "mmu", kind, addressBits: 48, pageSizes: 0x40201000n, reserved: [{ first: 0xfee0_0000n, last: 0xfeef_ffffn }], pasidBits: 0, enforcesSnoop: true, nesting: "hw", maxDepth: 2, pasidTables: false, dirty: true }],
	{ memory: [{ kind: "sparse", ...RAM }], sparsePages: 1024, tables: { frames: 3 * DEVICES + 16 * USED + 4096, count: USED + 16 } },
);
const machine = new Machine(engine, units, RAM);
machine.tableReader = userFormats;
const owner = machine.createProcess("main");
owner.map(BASE, 1n << 30n);
const fd = new IommuV2(machine);
const all = [];
const numbers = [];
const empty = engine.framesUsed;

phase("devices", DEVICES, () => {
	for (let rid = 0; rid < DEVICES; rid++) all.push(machine.addDevice({ segment: 0, rid, driver: drivers["vfio-pci"] }));
});
phase("bind", DEVICES, () => {
	for (const [i, device] of all.entries()) fd.bind(device, BigInt(i));
});
const routed = engine.framesUsed;
phase("alloc", IOASIDS, () => {
	for (let i = 0; i < IOASIDS; i++) numbers.push(fd.alloc(owner));
});
phase("attach", DEVICES, () => {
	for (const [i, device] of all.entries()) fd.attach(device, numbers[i % USED]);
});
const attached = engine.framesUsed;
phase("map 16 areas in each used IOASID", 16 * USED, () => {
	for (let i = 0; i < 16 * USED; i++) fd.map(owner, numbers[i % USED], { iova: BigInt(i) << 12n, vaddr: BASE + (BigInt(i) << 12n), size: 0x1000n });
});
const mapped = engine.framesUsed;
phase("map an area in each other IOASID", IOASIDS - USED, () => {
	for (let i = USED; i < IOASIDS; i++) fd.map(owner, numbers[i], { iova: 0n, vaddr: BASE, size: 0x1000n });
});
phase("map 256 MiB of 4 KiB pages, one area", 65536, () => fd.map(owner, numbers[0], { iova: 1n << 36n, vaddr: BASE + 0x1000n, size: 0x1000_0000n }));
const filled = engine.framesUsed;
phase("dma, one for each device", DEVICES, () => {
	let reached = 0;
	for (const [i, device] of all.entries()) if (machine.dma(device, null, BigInt(i % USED) << 12n).kind === "memory") reached++;
	if (reached !== DEVICES) throw new Error(`${reached} of ${DEVICES} DMAs got through`);
});
phase("detach", DEVICES / 2, () => {
	for (let i = 0; i < DEVICES; i += 2) fd.detach(all[i], numbers[i % USED]);
});
phase("close devices", DEVICES, () => {
	for (const device of all) machine.release(device);
});
phase("free half of the IOASIDs", IOASIDS / 2, () => {
	for (let i = 0; i < IOASIDS; i += 2) fd.free(numbers[i]);
});
phase("close the file", IOASIDS / 2, () => fd.close());
phase("unplug", DEVICES, () => {
	for (const device of all) machine.unplug(device);
});
if (owner.locked !== 0) throw new Error(`${owner.locked} pages stay locked`);

console.table(rows);
const per = (frames, count) => `${((frames * 4096) / count).toFixed(0)} bytes`;
console.log(`table frames: ${per(routed - empty, DEVICES)} a device, ${per(attached - routed, USED)} a used IOASID, ${per(mapped - attached, USED)} for its 16 scattered areas, ${per(filled - mapped, 65536)} a page of a 256 MiB area`);
console.log(`engine plan ${(engine.plan.bytes / 2 ** 20).toFixed(0)} MiB, resident ${(process.memoryUsage().rss / 2 ** 20).toFixed(0)} MiB, frames left over ${engine.framesUsed - empty}`);
