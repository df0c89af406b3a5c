/** The kernel's name of a PCI function: `0000:00:1f.2`. */
export function deviceName(segment: number, rid: number): string {
	const hex = (value: number, width: number) => value.toString(16).padStart(width, "0");
	return `${hex(segment, 4)}:${hex(rid >> 8, 2)}:${hex((rid >> 3) & 0x1f, 2)}.${rid & 7}`;
}
