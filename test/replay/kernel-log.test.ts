/** Kernel logs: every line that people posted, every driver's shape, lines that belong together, and every form of stamp. */
import { readFileSync } from "node:fs";
import { gunzipSync } from "node:zlib";
import { describe, expect, test } from "vitest";
import { importTrace } from "../../ts/replay/importers/import.ts";
import { recognise } from "../../ts/replay/importers/index.ts";
import { readFaultLine } from "../../ts/replay/importers/kernel-log.ts";
import { replayTrace } from "../../ts/replay/replay.ts";
import { Access, Kind, NO_DEVICE, NO_PASID } from "../../ts/replay/trace.ts";

const fixture = (name: string) => new URL(`fixtures/${name}`, import.meta.url).pathname;
const read = (...lines: string[]) => importTrace({ name: "dmesg", data: lines.join("\n") });

/** driver, device, address, reason, whole or incomplete, and the line; `no fault` where the line is none */
const posted = gunzipSync(readFileSync(fixture("fault_lines.tsv.gz"))).toString("latin1").trimEnd().split("\n").map((row) => {
	const [driver, device, address, reason, state, ...line] = row.split("\t");
	return { expected: driver === "no fault" ? null : { driver, device, address, reason, state }, line: line.join("\t") };
});

describe("189 lines from real hardware", () => {
	test("all are there, of every driver", () => {
		expect(posted.length).toBe(189);
		const count = (driver: string | undefined) => posted.filter(({ expected }) => expected?.driver === driver).length;
		expect([count("AMD-Vi"), count("DMAR"), count("arm-smmu"), count("arm-smmu-v3"), count("iommu"), count(undefined)]).toEqual([93, 51, 22, 12, 6, 5]);
	});

	test.each(posted.map(({ expected, line }) => [line, expected] as const))("%s", (line, expected) => {
		const fault = readFaultLine(line);
		if (expected === null) return expect(fault).toBeNull();
		expect(fault).not.toBeNull();
		const { driver, device, address, reason, incomplete } = fault as NonNullable<typeof fault>;
		expect({ driver, device: device ?? "-", address: address ?? "-", reason: reason ?? "-", state: incomplete ? "incomplete" : "whole" }).toEqual(expected);
	});
});

describe("other drivers and other forms", () => {
	test.each([
		["[   20.1] DMAR: [DMA Write NO_PASID] Request device [00:1f.2] fault addr 0x9b000000 [fault reason 0x0c] non-zero reserved fields in PTE", { driver: "DMAR", device: "00:1f.2", address: "0x9b000000", code: 12, access: "write", pasid: null, reason: "non-zero reserved fields in PTE" }],
		["DMAR: [DMA Read PASID 0x12] Request device [6a:01.0] fault addr 0xffff8000 [fault reason 0x58] SM: Present bit in PASID entry is clear", { device: "6a:01.0", pasid: 0x12, code: 0x58 }],
		["dmar: DMAR:[DMA Read] Request device [00:02.0] fault addr 1000 [fault reason 12] non-zero reserved fields in PTE", { address: "0x1000", code: 12 }],
		["DMAR: [INTR-REMAP] Request device [f0:1f.7] fault index 0x21 [fault reason 0x25] Blocked a compatibility format interrupt request", { device: "f0:1f.7", address: null, noAccess: true, incomplete: false }],
		["AMD-Vi: Event logged [IO_PAGE_FAULT device=0000:07:00.0 domain=0x0007 address=0xffffc02000 flags=0x0030]", { device: "0000:07:00.0", access: "write" }],
		["iommu ivhd0: AMD-Vi: Event logged [ILLEGAL_DEV_TABLE_ENTRY device=0000:c0:00.1 pasid=0x00001 address=0xfffffffdf8000000 flags=0x0a00]", { reason: "ILLEGAL_DEV_TABLE_ENTRY", code: 1, pasid: 1, address: "0xfffffffdf8000000" }],
		["AMD-Vi: Event logged [COMMAND_HARDWARE_ERROR address=0x1234000 flags=0x0000]", { noAccess: true, code: 6, device: null }],
		["AMD-Vi: Event logged [RMP_PAGE_FAULT device=0000:01:00.0, vmg_tag=0x0000, gpa=0x12345000, flags_rmp=0x0000, flags=0x0020]", { code: 13, address: "0x12345000", reason: "RMP_PAGE_FAULT" }],
		["AMD-Vi: Event logged [UNKNOWN type=0x1f event[0]=0x00000000 event[1]=0x00000000 event[2]=0x00000000 event[3]=0x00000000]", { reason: "UNKNOWN", code: 0x1f }],
		["arm-smmu 15000000.apps-smmu: Unhandled context fault: iova=0x0000000012345000, fsr=0x00000008, fsynr0=0x10, cb=4, sid=0x8a0", { unit: "15000000.apps-smmu", device: "sid 0x8a0", reason: "permission fault", access: "write" }],
		["arm-smmu e0200000.smmu: Unhandled context fault: iova=0x20000000, fsynr=0x11, cb=2", { driver: "arm-smmu", address: "0x20000000", reason: null, incomplete: false }],
		["qcom-iommu-ctx 1e24000.iommu-ctx: Unhandled context fault: fsr=0x2, iova=0x0000000000000040, fsynr=0x1, cb=4", { driver: "qcom-iommu-ctx", unit: "1e24000.iommu-ctx", address: "0x40", device: null }],
		["arm-smmu 5000000.iommu: Blocked unknown Stream ID 0x2c; boot with \"arm-smmu.disable_bypass=0\" to allow, but this may have security implications", { device: "sid 0x2c", reason: "unknown stream" }],
		["exynos-sysmmu 10a60000.sysmmu: 10850000.g2d: [WRITE] PAGE FAULT occurred at 0x20000000", { driver: "exynos-sysmmu", unit: "10a60000.sysmmu", device: "10850000.g2d", address: "0x20000000", access: "write", reason: "PAGE FAULT" }],
		["rk_iommu ff930300.iommu: Page fault at 0x0000000000012000 of type read", { driver: "rk_iommu", unit: "ff930300.iommu", address: "0x12000", access: "read", reason: "page fault" }],
		["mtk-iommu 10205000.iommu: fault type=0x5 iova=0xfe000000 pa=0x0 larb=2 port=7 layer=1 write", { driver: "mtk-iommu", device: "larb=2 port=7", address: "0xfe000000", access: "write", code: 5 }],
		["mtk-iommu 14018000.iommu: fault type=0x280 iova=0x1fe0f0000 pa=0x0 master=0x5000e(larb=2 port=3) layer=1 read", { device: "larb=2 port=3", address: "0x1fe0f0000", access: "read" }],
		["tegra-mc 70019000.memory-controller: afi: read @0x00000000fff00000: EMEM address decode error (SMMU translation error [--S])", { driver: "tegra-mc", unit: "70019000.memory-controller", device: "afi", address: "0xfff00000", access: "read", reason: "EMEM address decode error" }],
		["tegra-mc 70019000.memory-controller: dc: secure write @0x0000000080000000: SMMU page fault (read)", { device: "dc", access: "write", reason: "SMMU page fault" }],
		["ipmmu-vmsa e6740000.iommu: Unhandled fault: status 0x00002101 iova 0xffff4000", { driver: "ipmmu-vmsa", code: 0x2101, address: "0xffff4000" }],
		["omap-iommu 40d01000.mmu: 40d01000.mmu: errs:0x00000002 da:0x000bd000 pgd:0x8b1a3f3d *pgd:px00000000", { driver: "omap-iommu", unit: "40d01000.mmu", address: "0xbd000", code: 2 }],
		["sun50i-iommu 30f0000.iommu: Page fault for 0x00000000fffc0000 (master 1, dir wr)", { driver: "sun50i-iommu", device: "master 1", address: "0xfffc0000", access: "write" }],
		["virtio_iommu virtio0: page fault from EP 24 at 0xfffff000 [W]", { driver: "virtio_iommu", unit: "virtio0", device: "EP 24", address: "0xfffff000", access: "write", reason: "page" }],
		["virtio_iommu virtio0: domain fault from EP 8", { device: "EP 8", address: null, reason: "domain" }],
		["apple-dart 382f00000.iommu: translation fault: status:0x80000010 stream:1 code:0x10 (PTE invalid) at 0xfffc8000", { driver: "apple-dart", device: "stream:1", address: "0xfffc8000", reason: "PTE invalid" }],
		["riscv,iommu 0000:00:02.0: Fault 13 devid: 0x18 iotval: fffff000 iotval2: 0", { device: "devid: 0x18", code: 13, address: "0xfffff000" }],
		["msm_mdp 1a01000.mdp: *** gpu fault: ttbr0=0000000103fec000 iova=0000000000500000 dir=WRITE type=TRANSLATION source=CP (0,0,0,1)", { address: "0x500000", access: "write", reason: "TRANSLATION", device: "CP" }],
	])("%s", (line, expected) => {
		expect(readFaultLine(line)).toMatchObject(expected);
	});

	test.each([
		"[    0.2] DMAR: Host address width 39",
		"[    5.689935] DMAR: DRHD: handling fault status reg 2",
		"[    0.3] AMD-Vi: Interrupt remapping enabled",
		"[    0.5] arm-smmu-v3 9050000.smmuv3: allocated 65536 entries for cmdq",
		"[    1.0] ata1.00: failed command: READ FPDMA QUEUED",
		"[    1.0] EXT4-fs error (device sda1): ext4_find_entry:1455: inode #2: comm ls: reading directory lblock 0",
		"[    1.0] BUG: unable to handle page fault for address: ffffffff81000000",
		"[    1.0] segfault at 0 ip 00007f error 4 in libc.so",
	])("no fault: %s", (line) => expect(readFaultLine(line)).toBeNull());
});

describe("faults over several lines", () => {
	const unit = "arm-smmu-v3 arm-smmu-v3.2.auto:";

	test("SMMUv3: five lines are one event, with others between", async () => {
		const { columns, devices, loggedFaults, architecture } = await read(
			`[ 6542.670624] ${unit} event 0x10 received:`,
			`[ 6542.670630] ${unit} \t0x00007d1200000010`,
			"[ 6542.670630] usb 1-1: new high-speed USB device number 2 using xhci_hcd",
			"[ 6542.670631] arm-smmu-v3 arm-smmu-v3.3.auto: event 0x12 received:",
			`[ 6542.670631] ${unit} \t0x000012000000007c`,
			"[ 6542.670632] arm-smmu-v3 arm-smmu-v3.3.auto: \t0x0000000800005812",
			`[ 6542.670633] ${unit} \t0x00000000fffef040`,
			"[ 6542.670634] arm-smmu-v3 arm-smmu-v3.3.auto: \t0x0000000800000000",
			`[ 6542.670634] ${unit} \t0x00000000fffef000`,
			"[ 6542.670635] arm-smmu-v3 arm-smmu-v3.3.auto: \t0x0000001234567890",
			"[ 6542.670636] arm-smmu-v3 arm-smmu-v3.3.auto: \t0x0000000000000000",
		);
		expect(loggedFaults).toMatchObject([
			{ unit: "arm-smmu-v3.2.auto", device: "sid 0x7d12", address: "0xfffef040", reason: "F_TRANSLATION", code: 0x10, access: "write", pasid: null, incomplete: false },
			{ unit: "arm-smmu-v3.3.auto", device: "sid 0x8", address: "0x1234567890", reason: "F_ACCESS", access: "read", pasid: 5, incomplete: false },
		]);
		expect(architecture).toBe("smmuv3");
		expect(devices.map(({ name }) => name)).toEqual(["arm-smmu-v3.2.auto sid 0x7d12", "arm-smmu-v3.3.auto sid 0x8"]);
		expect([columns.length, columns.iova[0], columns.iova[2], columns.iova[3], columns.pasid[0], columns.pasid[1]]).toEqual([2, 0xfffef040, 0x34567890, 0x12, NO_PASID, 5]);
	});

	test("SMMUv3: the lines of the .tsv, of which two events have lost words", async () => {
		const lines = posted.filter(({ expected }) => expected?.driver === "arm-smmu-v3").map(({ line }) => line.replace(/^.*\t(?=\[)/, ""));
		const { loggedFaults } = await read(...lines);
		expect(loggedFaults).toMatchObject([
			{ unit: "arm-smmu-v3.34.auto", device: null, address: null, incomplete: true },
			{ unit: "arm-smmu-v3.2.auto", device: "sid 0x7d12", address: "0xfffef040", incomplete: false },
			{ unit: "arm-smmu-v3.0.auto", device: null, address: "0xffffe040", reason: "F_TRANSLATION", access: "write", incomplete: true },
		]);
	});

	test("SMMUv3 as decoded by the kernel since 6.14", async () => {
		const { loggedFaults } = await read(
			`[ 1.0] ${unit} event 0x10 received:`,
			...["0x0000000800000010", "0x0000020800000000", "0x00000000ffffe040", "0x0"].map((word) => `[ 1.0] ${unit} \t0x${word.slice(2).padStart(16, "0")}`),
			`[ 1.0] ${unit} event: F_TRANSLATION client: 0000:00:01.0 sid: 0x8 ssid: 0x0 iova: 0xffffe040 ipa: 0x0`,
			`[ 1.0] ${unit} unpriv data read s1 "Input address caused fault" stag: 0x0`,
			`[ 2.0] ${unit} event: C_BAD_STREAMID client: (unassigned sid) sid: 0x99 ssid: 0x0`,
		);
		expect(loggedFaults).toMatchObject([
			{ device: "0000:00:01.0", address: "0xffffe040", access: "read", incomplete: false },
			{ device: "sid 0x99", address: null, code: 2, reason: "C_BAD_STREAMID" },
		]);
	});

	test("DMAR before 4.x: the reason stands on a line of its own", async () => {
		const { loggedFaults } = await read(
			"[   20.1] dmar: DRHD: handling fault status reg 2",
			"[   20.2] dmar: DMAR:[DMA Write] Request device [00:02.0] fault addr 6df084000 ",
			"[   20.2] eth0: link up",
			"[   20.2] DMAR:[fault reason 05] PTE Write access is not set",
		);
		expect(loggedFaults).toMatchObject([{ device: "00:02.0", address: "0x6df084000", code: 5, reason: "PTE Write access is not set", incomplete: false }]);
	});

	test("lines that mail broke", async () => {
		const { loggedFaults } = await read(
			"[   39.143226] DMAR: [DMA Read] Request device [05:00.0] PASID ffffffff",
			"fault addr 1238000 [fault reason 06] PTE Read access is not set",
			"[    4.194306] nvme 0000:01:00.0: AMD-Vi: Event logged",
			"[IO_PAGE_FAULT domain=0x000c address=0xffffc080 flags=0x0050]",
			"[   27.899649] DMAR: [DMA Read] Request device [02:00.0] PASID ffffffff fau=",
			"lt addr 1000 [fault reason 06] PTE Read access is not set",
			"May 30 17:35:46 localhost kernel: [  278.999485] DMAR: [DMA Read]",
			"Request device [00:16.7] PASID ffffffff fault addr 9cdff000 [fault",
			"reason 02] Present bit in context entry is clear",
			"and the machine hangs then",
		);
		expect(loggedFaults?.map(({ device, address, reason, incomplete }) => [device, address, reason, incomplete])).toEqual([
			["05:00.0", "0x1238000", "PTE Read access is not set", false],
			["0000:01:00.0", "0xffffc080", "IO_PAGE_FAULT", false],
			["02:00.0", "0x1000", "PTE Read access is not set", false],
			["00:16.7", "0x9cdff000", "Present bit in context entry is clear", false],
		]);
	});

	test("a global fault of SMMUv2, and the decoded lines since 6.10", async () => {
		const { loggedFaults } = await read(
			"[ 1.0] arm-smmu 5000000.iommu: Unexpected global fault, this could be serious",
			"[ 1.0] arm-smmu 5000000.iommu: \tGFSR 0x80000002, GFSYNR0 0x00000002, GFSYNR1 0x000004a0, GFSYNR2 0x00000000",
			"[ 2.0] arm-smmu 5000000.iommu: Unhandled context fault: fsr=0x402, iova=0x1000, fsynr=0x1, cbfrsynra=0x820, cb=1",
			"[ 2.0] arm-smmu 5000000.iommu: FSR    = 00000402 [Format=2 TF], SID=0x820",
			"[ 2.0] arm-smmu 5000000.iommu: FSYNR0 = 00000001 [S1CBNDX=0 PLVL=1]",
		);
		expect(loggedFaults).toMatchObject([
			{ reason: "global fault", device: "sid 0x4a0", access: "write", incomplete: false },
			{ reason: "translation fault", device: "sid 0x820", address: "0x1000" },
		]);
	});
});

describe("as a trace", () => {
	const FAULT = "DMAR: [DMA Write NO_PASID] Request device [00:02.0] fault addr 0x1000 [fault reason 0x05] PTE Write access is not set";

	test.each([
		["dmesg", "[    5.690636] ", 5_690_636],
		["dmesg with levels and tasks", "<3>[    5.690636][   T12] ", 5_690_636],
		["dmesg --show-delta", "[    5.690636 <    0.000010>] ", 5_690_636],
		["dmesg -T", "[Mon Apr 29 12:42:35 2019] ", Date.UTC(2019, 3, 29, 12, 42, 35) * 1000],
		["dmesg --time-format iso", "2019-04-29T12:42:35,690636+02:00 ", Date.UTC(2019, 3, 29, 10, 42, 35) * 1000 + 690_636],
		["journalctl", "Apr 29 12:42:35 host kernel: ", Date.UTC(2000, 3, 29, 12, 42, 35) * 1000],
		["journalctl -o short-precise", "Apr 29 12:42:35.000001 host kernel: ", Date.UTC(2000, 3, 29, 12, 42, 35) * 1000 + 1],
		["journalctl -o short-iso", "2019-04-29T12:42:35+0200 host kernel: ", Date.UTC(2019, 3, 29, 10, 42, 35) * 1000],
		["journalctl -o short-monotonic", "[    5.690636] host kernel: ", 5_690_636],
		["syslog with uptime", "Apr 29 12:42:35 host kernel: [    5.690636] ", 5_690_636],
		["/dev/kmsg", "3,1234,5690636,-;", 5_690_636],
		["pasted without a stamp", "", null],
	])("%s", async (_, stamp, time) => {
		const { loggedFaults, columns, devices } = await read(`${stamp}DMAR: DRHD: handling fault status reg 2`, `${stamp}${FAULT}`);
		expect(recognise(`${stamp}${FAULT}\n`, "x").name).toBe("kernel-log");
		expect(loggedFaults).toMatchObject([{ time, device: "00:02.0" }]);
		expect(devices).toEqual([{ segment: 0, rid: 0x10, name: "0000:00:02.0", domain: null, levels: null }]);
		expect([columns.kind[0], columns.id[0], columns.iova[0], columns.pa[0], columns.flags[0]]).toEqual([Kind.fault, 0, 0x1000, 5, Access.write]);
	});

	test("faults without a device or an address", async () => {
		const { columns, report, loggedFaults } = await read("AMD-Vi: Event logged [IO_PAGE_FAULT domain=0x0007 address=0xffffc02000 flags=0x0020]", "[ 1.0] virtio_iommu virtio0: domain fault from EP 8", "[ 1.0] AMD-Vi: Event logged [COMMAND_HARDWARE_ERROR address=0x1 flags=0x0000]");
		expect(columns.length).toBe(1);
		expect(columns.id[0]).toBe(NO_DEVICE);
		expect(loggedFaults?.length).toBe(3);
		expect(report.notes.join()).toMatch(/1 of the kernel's faults have no address.*1 of the kernel's messages are of an IOMMU's own/);
	});

	test("replays, though nothing is known of what was mapped", async () => {
		const trace = await read(`[ 1.0] ${FAULT}`, "[ 2.0] arm-smmu a.iommu: Unhandled context fault: fsr=0x402, iova=0x1000, fsynr=0x1, cbfrsynra=0x820, cb=1");
		const summary = await replayTrace(trace);
		expect(summary.dma).toMatchObject({ total: 0, wrongAddress: 0, unexplained: 0 });
		expect(summary.faults).toMatchObject({ recorded: 2, logged: [{ device: "00:02.0" }, { device: "sid 0x820" }] });
	});

	test("joins the guest's trace on its clock, and only tells beside a QEMU log", async () => {
		const ftrace = ["# tracer: nop",
			"  a-1 [000] ....1  1.000001: map: IOMMU: iova=0x0000000000001000 - 0x0000000000002000 paddr=0x0000000000005000 size=4096",
			"  a-1 [000] ....1  1.000002: dma_map_page: 0000:00:02.0 dir=TO_DEVICE dma_addr=1000 size=10 phys_addr=5000 attrs=",
			"  a-1 [000] ....1  3.000000: unmap: IOMMU: iova=0x0000000000001000 - 0x0000000000002000 size=4096 unmapped_size=4096",
			"  a-1 [000] ....1  3.000001: dma_unmap_page: 0000:00:02.0 dir=TO_DEVICE dma_addr=1000 size=10 attrs=", ""].join("\n");
		const trace = await importTrace([{ name: "f", data: ftrace }, { name: "d", data: `[    2.000000] ${FAULT}\n[    4.0] ${FAULT.replace("0x05", "0x05")}\n` }]);
		expect(Array.from(trace.columns.kind)).toEqual([Kind.map, Kind.fault, Kind.unmap, Kind.fault]);
		expect(trace.devices.length).toBe(1);
		expect(Array.from(trace.columns.time.slice(0, 2))).toEqual([0, 999_999]);
		const summary = await replayTrace(trace);
		// a write to a page mapped read-only, and to one that is no longer mapped
		expect(summary.faults).toMatchObject({ recorded: 2, matched: 2 });
		const dmesg = fixture("vtd_faults_edu.dmesg.txt.gz");
		const run = await importTrace([fixture("vtd_faults_edu.qemu.log.gz"), fixture("vtd_faults_edu.guest_ftrace.txt.gz"), dmesg]);
		expect(Array.from(run.columns.kind).filter((kind) => kind === Kind.fault).length).toBe(592);
		expect(run.loggedFaults?.map(({ address, code }) => [address, code])).toEqual([["0x1000", 6], ["0x1000", 5], ["0x100000", 6]]);
	});
});
