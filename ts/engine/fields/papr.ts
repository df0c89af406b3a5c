/** PAPR host bridge: names of LoPAR for TCEs, of the IODA3 bridge for the rest, whose big-endian words are told whole. */
import { FORMAT_TCE } from "../../../assembly/layout.ts";
import { type EntryFormat, faultTable, field, type Structure, type Words } from "./contract.ts";

const RTT: Structure = { name: "RTT entries", section: "IODA3 RTT", bytes: 8, fields: [] };
const PEST: Structure = { name: "PESTB", section: "IODA3 PEST", bytes: 8, fields: [] };
const TVE: Structure = { name: "TVE", section: "IODA3 TVT", bytes: 8, fields: [] };

const tce: EntryFormat = {
	section: "LoPAR 3.2.2",
	level: (level) => (level === 0 ? "TCE" : `indirect TCE, level ${level}`),
	fields: [field("read", 0, "the device may read"), field("write", 1, "the device may write"), field("RPN", [63, 12], "page, or the next table", { shift: 12 })],
	decides: {
		3: [["read", 0]],
		4: [["write", 0]],
	},
};

export const papr: Words = {
	registers: ["RTT", "TVT", "PEST", "PES", "CONTROL"],
	structure({ phase, level }) {
		if (phase !== "device") return undefined;
		return level === 2 ? RTT : level === 1 ? PEST : TVE;
	},
	formats: { [FORMAT_TCE]: tce },
	faults: faultTable("IODA3", [
		[1, "no PE", "the RTT is off, cannot be read, or names a PE that is not there"],
		[2, "PE stopped", "its DMA is stopped after a fault"],
		[3, "PASID", "the bridge knows no PASIDs"],
		[4, "no window", "the TVE is not valid, or its range ends before"],
		[5, "beyond the table", "the address lies beyond the TCE table"],
		[6, "TCE absent", "neither read nor write is permitted"],
		[7, "read refused", "the TCE does not permit reads"],
		[8, "write refused", "the TCE does not permit writes"],
		[9, "TCE unreadable", "a table cannot be read"],
		[10, "PE unreadable", "its TVEs or its state cannot be read"],
		[11, "TCE address", "wider than the machine's addresses"],
	]),
};
