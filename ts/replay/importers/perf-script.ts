/** Text of `perf script` on a recording of tracepoints: `comm pid [cpu] sec.usec: iommu:map: IOMMU: iova=..`. */
import { type Importer, share } from "./contract.ts";
import { TraceTextParser } from "./trace-text.ts";

export const perfScript: Importer = {
	name: "perf-script",
	title: "perf script",
	lastLine: "cut",
	recognise: (head) => share(head, /\s\d+(\/\d+)? +\[\d+\] +\d+\.\d+: +[a-z]\w*:\w+: /, /^[^#\s].*: |\[\d+\] +\d+\.\d+: /),
	open: (place) => new TraceTextParser(place, "perf"),
};
