/** A fault as a kernel log tells it. A field is null where the log does not say, or where the line was cut before it. */
export interface LoggedFault {
	/** microseconds on the log's clock; null for a line without a time */
	time: number | null;
	/** the IOMMU's driver as it names itself: `DMAR`, `AMD-Vi`, `arm-smmu`, `rk_iommu` */
	driver: string;
	/** the IOMMU that logged it, of a machine with several: `arm-smmu.1.auto` */
	unit: string | null;
	/** who accessed: PCI function as printed (`02:00.0`, `0000:02:00.0`), stream id (`sid 0x9000`), platform device or port */
	device: string | null;
	/** the address of the access, hexadecimal: `0x791dd000` */
	address: string | null;
	/** in the driver's words: `PTE Read access is not set`, `IO_PAGE_FAULT`, `F_TRANSLATION` */
	reason: string | null;
	/** the reason as the hardware's number */
	code: number | null;
	access: "read" | "write" | null;
	pasid: number | null;
	/** the line was cut, or lines that belong to it are missing */
	incomplete: boolean;
	/** an error of the IOMMU itself (a command, a time-out), or of an interrupt: no DMA has this address */
	noAccess: boolean;
}
