/** Text of `trace-cmd report`: as tracefs prints it, after a line that tells the CPUs, with the bodies in a column of their own. */
import { type Importer, share } from "./contract.ts";
import { TraceTextParser } from "./trace-text.ts";

const LINE = /-\d+ +(\( *[-\d]+\) +)?\[\d+\] +(\S+ +)?\d+\.\d+: +[a-z]\w*: /;

export const traceCmd: Importer = {
	name: "trace-cmd",
	title: "trace-cmd report",
	lastLine: "cut",
	recognise: (head) => {
		// without this line the text is tracefs', and reads as such
		if (!/^(?:version = \d+\n)?(?:CPU \d+ is empty\n)*cpus=\d+\r?\n/.test(head)) return 0;
		return Math.max(0.2, share(head, LINE, /-\d+ +.*\[\d+\]/));
	},
	open: (place) => new TraceTextParser(place, "ftrace"),
};
