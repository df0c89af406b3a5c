import { Command, InvalidArgumentError, Option } from "commander";
import type { CurveBuilderOptions } from "../../replay/curve/builder.ts";
import { missCurves, simulate } from "../../replay/curve/curve.ts";
import type { CurveReport } from "../../replay/curve/types.ts";
import { openTrace } from "../../replay/stream.ts";
import { amount, warmUpOf, whole } from "../arguments.ts";
import { renderDamage } from "../render.ts";
import { powersFor, renderCurves } from "../render-curve.ts";

const POLICIES = ["lru", "plru", "fifo", "random", "clear"];
/** Entries of the largest cache that is simulated unless sizes are named. */
const LARGEST = 4096;

const numbers = (text: string): number[] =>
	text.split(",").map((part) => {
		const n = whole(part);
		if (n < 1) throw new InvalidArgumentError("sizes are at least 1");
		return n;
	});
const policies = (text: string): string[] =>
	text.split(",").map((part) => {
		if (!POLICIES.includes(part.split(":")[0])) throw new InvalidArgumentError(`"${part}" is none of ${POLICIES.join(", ")}`);
		return part;
	});

/** Every cache that the sizes, ways and policies make; sizes that ways do not divide into a power of two of sets are left out. */
function geometries(sizes: readonly number[], ways: readonly number[] | undefined, kinds: readonly string[]): string[] {
	const out: string[] = [];
	for (const kind of kinds) {
		for (const size of sizes) {
			if (ways === undefined) out.push(`full:${size}:${kind}`);
			for (const way of ways ?? []) if (Number.isInteger(Math.log2(size / way))) out.push(`${size / way}x${way}:${kind}`);
		}
	}
	if (out.length === 0) throw new RangeError("no size has a power of two of sets with these ways");
	return out;
}

interface Flags {
	json?: boolean;
	invalidations: "with" | "without" | "both";
	addresses?: boolean;
	device?: string;
	from?: number;
	to?: number;
	warmUp?: number;
	warmUpEvents?: number;
	sizes?: number[];
	ways?: number[];
	policy?: string[];
	sample?: number;
	samplePages?: number;
}

export const curveCommand = new Command("curve")
	.description("hit rates of every size of the IOTLB from one pass over a recorded run, and of other geometries by simulation")
	.argument("<files...>", "files of one run; plain, .gz or - for standard input")
	.option("--json", "print one JSON object")
	.addOption(new Option("--invalidations <which>", "curves with the recorded invalidations, without any, or both").choices(["with", "without", "both"]).default("both"))
	.option("--addresses", "addresses alone: every access uses its 4 KiB page, mapped or not")
	.option("--sizes <list>", "entries that are shown and simulated, e.g. 8,64,512", numbers)
	.option("--ways <list>", "simulate set-associative caches of these ways, e.g. 2,4,8", numbers)
	.option("--policy <list>", `simulate these policies: ${POLICIES.join(", ")}; fully associative without --ways`, policies)
	.addOption(new Option("--sample <rate>", "keep this share of the pages (SHARDS), e.g. 0.01").argParser(amount).conflicts("samplePages"))
	.option("--sample-pages <n>", "keep this many pages at a time (SHARDS of fixed size)", whole)
	.option("--device <bdf>", "only this device, e.g. 0000:00:01.0")
	.option("--from <us>", "from this time on, microseconds since the start", amount)
	.option("--to <us>", "up to this time", amount)
	.addOption(new Option("--warm-up <us>", "count from this time on").argParser(amount).conflicts("warmUpEvents"))
	.option("--warm-up-events <n>", "count after so many events", whole)
	.addHelpText("after", "\nExamples:\n  ioasid curve test/traces/vtd_mixed_cut.merged.csv.gz\n  ioasid curve test/traces/vtd_mixed_cut.merged.csv.gz --sizes 64,256 --ways 4,8 --policy lru,plru\n  ioasid curve test/traces/vtd_mixed_cut.merged.csv.gz --sample-pages 256 --json")
	.action(async (files: string[], flags: Flags) => {
		const { device, from, to, sizes, ways } = flags;
		const trace = await openTrace(files, { ...(from === undefined ? {} : { from }), ...(to === undefined ? {} : { to }) });
		for (const text of renderDamage(trace.head.report)) console.error(text);
		const mark = warmUpOf(flags);
		const one = device === undefined ? {} : { device };
		const sample = flags.sample !== undefined ? { sample: { rate: flags.sample } } : flags.samplePages !== undefined ? { sample: { pages: flags.samplePages } } : {};
		const wanted = [true, false]
			.filter((invalidations) => flags.invalidations === "both" || (flags.invalidations === "with") === invalidations)
			.map((invalidations): CurveBuilderOptions => ({ invalidations, ...mark, ...sample, ...(flags.addresses ? { accesses: "addresses" as const } : {}) }));
		const curves = await missCurves(trace, wanted, one);
		const report: CurveReport = { version: 1, curves, simulated: [] };
		if (ways !== undefined || flags.policy !== undefined) {
			const entries = sizes ?? powersFor(curves).filter((size) => size >= 8 && size <= LARGEST);
			report.simulated = await simulate(trace, geometries(entries, ways, flags.policy ?? ["lru"]), { ...one, ...mark, invalidations: flags.invalidations !== "without" });
		}
		console.log(flags.json ? JSON.stringify(report) : renderCurves(report, sizes));
	});
