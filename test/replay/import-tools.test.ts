/** One guest trace, printed by tracefs, by trace-cmd and by perf: the same columns come out. */
import { readFileSync } from "node:fs";
import { gunzipSync } from "node:zlib";
import { describe, expect, test } from "vitest";
import { importTrace } from "../../ts/replay/importers/import.ts";
import { recognise } from "../../ts/replay/importers/index.ts";
import { replayWithMaps } from "./fixtures/model.ts";

const fixture = (name: string) => new URL(`fixtures/${name}`, import.meta.url).pathname;
const QEMU = fixture("vtd_mixed_cut.qemu.log.gz");
const ftrace = gunzipSync(readFileSync(fixture("vtd_mixed_cut.guest_ftrace.txt.gz"))).toString("latin1");
const LINE = /^ *(.*)-(\d+) +\[(\d+)\] (\S+) +([\d.]+): (\w+): (.*)$/;
const SYSTEM: Record<string, string> = { map: "iommu", unmap: "iommu", qi_submit: "intel_iommu" };

const printed = (line: (comm: string, pid: string, cpu: string, time: string, event: string, body: string) => string) =>
	ftrace
		.split("\n")
		.map((text) => LINE.exec(text))
		.filter((match) => match !== null)
		.map((match) => line(match[1], match[2], match[3], match[5], match[6], match[7]))
		.join("\n");

const traceCmd = `cpus=2\n${printed((comm, pid, cpu, time, event, body) => `${`${comm}-${pid}`.padStart(22)} [${cpu}] ${time.padStart(12)}: ${`${event}:`.padEnd(22)}${body}`)}\n`;
const perf = `${printed((comm, pid, cpu, time, event, body) => `${(pid === "0" ? "swapper" : comm).padStart(16)} ${pid.padStart(5)} [${cpu}] ${time.padStart(12)}: ${SYSTEM[event] ?? "dma"}:${event}: ${body}`)}\n`;

describe.each([
	["trace-cmd", traceCmd],
	["perf-script", perf],
])("%s", (name, data) => {
	test("is recognised by its content, cut anywhere", () => {
		expect(recognise(data.slice(0, 1 << 16), "x").name).toBe(name);
		if (name === "perf-script") expect(recognise(data.slice(3456, 1 << 16), "x").name).toBe(name);
	});

	test("reads as tracefs text does, and joins", async () => {
		const bare = ftrace.replace(/(\[\d+\]) \S+ /g, "$1 ");
		const expected = await importTrace({ name: "f", data: bare });
		const read = await importTrace({ name: "x", data }, { strict: true });
		expect(read.columns).toEqual(expected.columns);
		expect(read.devices).toEqual(expected.devices);
		expect(replayWithMaps(await importTrace([QEMU, { name: "x", data }]))).toMatchObject({ explained: 229, wrong: 0, unexplained: 0 });
	});
});

test("perf: threads, brackets in names, call chains", async () => {
	const data = [
		"a [1] b:c   12/345  [003]     1.000001: iommu:map: IOMMU: iova=0x0000000000001000 - 0x0000000000002000 paddr=0x0000000000005000 size=4096",
		"\tffffffff81000000 iommu_map+0x12 ([kernel.kallsyms])",
		"",
		"a [1] b:c   12/345  [003]     1.000002: dma:dma_map_page: 0000:00:02.0 dir=TO_DEVICE dma_addr=1000 size=10 phys_addr=5000 attrs=",
		"",
	].join("\n");
	const { columns, devices, report } = await importTrace({ name: "p", data }, { strict: true });
	expect(devices.map((device) => device.name)).toEqual(["0000:00:02.0"]);
	expect([columns.length, columns.id[0], report.ignoredLines]).toEqual([1, 0, 2]);
});

test("trace-cmd: dropped events are told", async () => {
	const { report } = await importTrace({ name: "t", data: traceCmd.replace("\n", "\nCPU:1 [17 EVENTS DROPPED]\n") });
	expect(report.notes.join()).toMatch(/lost 17 events/);
});
