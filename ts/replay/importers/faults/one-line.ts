/**
 * Drivers that print a fault on one line of one shape: the system MMUs of SoCs, virtio-iommu, RISC-V, and the kernel's own
 * `io_page_fault` event, which people paste beside kernel messages.
 *
 * A shape is a regular expression whose named groups are fields of a {@link LoggedFault}; `port` numbers a master that has no name.
 */
import { address, type FaultFormat, printedFault } from "./contract.ts";

interface Shape {
	/** when the line does not begin with a driver's and a unit's name */
	driver: string;
	line: RegExp;
	/** in place of a group */
	reason?: string;
}

const SHAPES: Shape[] = [
	// drivers/iommu/exynos-iommu.c, before and after 4.x, and Samsung's forks
	{ driver: "exynos-sysmmu", line: /(?<device>[\w.:-]+): \[(?<access>READ|WRITE)\] (?<reason>[\w -]+?) occurred at (?<address>0x[0-9a-f]+)/i },
	{ driver: "exynos-sysmmu", line: /(?<reason>(?:PAGE|AR|AW|BUS|SECURITY|ACCESS)[A-Z -]* (?:FAULT|ERROR|MULTI-HIT|PROTECTION)[A-Z -]*) occurred at (?<address>0x[0-9a-f]+)(?: by (?<device>[\w.:-]+))?/i },
	// rockchip-iommu.c
	{ driver: "rk_iommu", line: /Page fault at (?<address>0x[0-9a-f]+) of type (?<access>read|write)/i, reason: "page fault" },
	{ driver: "rk_iommu", line: /BUS_ERROR occurred at (?<address>0x[0-9a-f]+)/, reason: "bus error" },
	// mtk_iommu.c and mtk_iommu_v1.c
	{ driver: "mtk-iommu", line: /fault type=(?<code>0x[0-9a-f]+) iova=(?<address>0x[0-9a-f]+) pa=0x[0-9a-f]+ (?:master=0x[0-9a-f]+\()?(?<port>larb=\d+ port=\d+)\)?(?: layer=\d+)?(?: (?<access>read|write))?/i, reason: "fault" },
	// drivers/memory/tegra/mc.c, for the Tegra SMMU
	{ driver: "tegra-mc", line: /(?<device>[\w-]+): (?:secure |non-secure )?(?<access>read|write) ?@(?<address>0x[0-9a-f]+): (?<reason>[^()]+?) ?\(/i },
	// ipmmu-vmsa.c
	{ driver: "ipmmu-vmsa", line: /Unhandled fault: status (?<code>0x[0-9a-f]+) iova (?<address>0x[0-9a-f]+)/i, reason: "page fault" },
	{ driver: "ipmmu-vmsa", line: /(?<reason>Multiple TLB hits|Page Table Walk Abort) @(?<address>0x[0-9a-f]+)/i },
	// omap-iommu.c
	{ driver: "omap-iommu", line: /(?<device>[\w.]+):\s+errs:(?<code>0x[0-9a-f]+) da:(?<address>0x[0-9a-f]+) pgd/i, reason: "fault" },
	// sun50i-iommu.c
	{ driver: "sun50i-iommu", line: /Page fault for (?<address>0x[0-9a-f]+) \((?<port>master \d+), dir (?<access>rd|wr)\)/i, reason: "page fault" },
	// virtio-iommu.c
	{ driver: "virtio_iommu", line: /(?<reason>domain|page|unknown) fault from (?<port>EP \d+)(?: at (?<address>0x[0-9a-f]+) \[(?<access>R?W?)X?\])?/i },
	// apple-dart.c
	{ driver: "apple-dart", line: /translation fault: status:(?<code>0x[0-9a-f]+) (?<port>stream:\d+) code:0x[0-9a-f]+ \((?<reason>[^)]*)\) at (?<address>0x[0-9a-f]+)/i },
	// drivers/iommu/riscv: reasons are those of the RISC-V IOMMU specification, table 11
	{ driver: "riscv-iommu", line: /\bFault (?<code>\d+) (?<port>devid: 0x[0-9a-f]+) iotval: (?:0x)?(?<address>[0-9a-f]+) iotval2:/i, reason: "fault" },
	// msm_iommu and the Adreno driver behind Qualcomm's SMMUs
	{ driver: "msm", line: /\*\*\* gpu fault: (?:ttbr0=[0-9a-f]+ )?iova=(?<address>[0-9a-f]+)(?:,? (?:flags=\d+|dir=(?<access>read|write)))?(?: type=(?<reason>\w+) source=(?<device>\w+))?/i },
	// include/trace/events/iommu.h
	{ driver: "iommu", line: /io_page_fault: IOMMU:\S+ (?<device>\S+) iova=(?<address>0x[0-9a-f]+) flags=(?<code>0x[0-9a-f]+)/i, reason: "io_page_fault" },
];

/** what a kernel message of a fault must hold, so that most lines are looked at once */
const MAY = /fault|error|occurred|violation|Multiple TLB|errs:|@0x/i;

function accessOf(text: string | undefined): "read" | "write" | null {
	if (text === undefined || text === "") return null;
	return /^(?:r|rd|read)$/i.test(text) ? "read" : /w/i.test(text) ? "write" : null;
}

/** `flags` of the kernel's event: IOMMU_FAULT_READ is 0, IOMMU_FAULT_WRITE 1 */
function eventAccess(flags: number | null): "read" | "write" {
	return ((flags ?? 0) & 1) !== 0 ? "write" : "read";
}

export const oneLine: FaultFormat = {
	read(text) {
		if (!MAY.test(text)) return null;
		for (const shape of SHAPES) {
			const match = shape.line.exec(text);
			if (match === null) continue;
			const groups = match.groups ?? {};
			const fault = printedFault(text, match.index, shape.driver);
			fault.device = groups.device ?? groups.port ?? null;
			if (groups.address !== undefined) fault.address = address(groups.address);
			fault.reason = groups.reason?.trim() ?? shape.reason ?? null;
			if (groups.code !== undefined) fault.code = Number(groups.code);
			fault.access = shape.driver === "iommu" ? eventAccess(fault.code) : accessOf(groups.access);
			return fault;
		}
		return null;
	},
};
