import { Command, InvalidArgumentError, Option } from "commander";
import type { ReplayOptions } from "../../replay/replay.ts";
import { openTrace } from "../../replay/stream.ts";
import { whatIfs } from "../../replay/whatif/index.ts";
import { type Choice, whatIf } from "../../replay/whatif/run.ts";
import { amount, warmUpOf, whole } from "../arguments.ts";
import { withExamples } from "../examples.ts";
import { iotlb } from "../iotlb.ts";
import { renderDamage } from "../render.ts";
import { renderWhatIf } from "../render-whatif.ts";

type Flags = Pick<ReplayOptions, "iotlb" | "walkCache" | "from" | "to"> & { json?: boolean; together?: boolean; warmUp?: number; warmUpEvents?: number } & Record<string, unknown>;

const command = new Command("whatif")
	.description("replay a recorded run as it was and as it might have been, side by side")
	.argument("<files...>", "files of one run; plain, .gz or - for standard input")
	.option("--json", "print one JSON object")
	.option("--together", "one variant more: all that is asked for at once")
	.option("--iotlb <geometry>", "SETSxWAYS[:POLICY], full:N[:POLICY] (POLICY lru, plru, fifo, random[:SEED], clear), qemu-7.2 or qemu-10", iotlb)
	.option("--no-walk-cache", "without paging-structure caches")
	.option("--from <us>", "from this time on, microseconds since the start", amount)
	.option("--to <us>", "up to this time", amount)
	.addOption(new Option("--warm-up <us>", "leave what comes before this time out of the figures").argParser(amount).conflicts("warmUpEvents"))
	.option("--warm-up-events <n>", "leave so many events out of the figures", whole);

/** An option for each line of the registry. */
for (const { name, argument, description, parse } of whatIfs) {
	const option = new Option(`--${name}${argument === "" ? "" : ` ${argument}`}`, description);
	command.addOption(
		option.argParser((text: string) => {
			try {
				return { value: parse(text) };
			} catch (error) {
				throw new InvalidArgumentError((error as Error).message);
			}
		}),
	);
}

/** The flag of an option, as commander names it. */
const flagOf = (name: string) => name.replace(/-(.)/g, (_, letter: string) => letter.toUpperCase());

function choicesOf(flags: Flags): Choice[] {
	const asked = whatIfs.filter(({ name }) => flags[flagOf(name)] !== undefined);
	if (asked.length === 0) throw new RangeError(`what if what? one of ${whatIfs.map(({ name }) => `--${name}`).join(", ")}`);
	return asked.map(({ name, parse }) => ({ name, value: flags[flagOf(name)] === true ? parse(true) : (flags[flagOf(name)] as { value: unknown }).value }));
}

command.action(async (files: string[], flags: Flags) => {
	const { json, together = false, from, to, walkCache } = flags;
	const choices = choicesOf(flags);
	const trace = await openTrace(files, { ...(from === undefined ? {} : { from }), ...(to === undefined ? {} : { to }) });
	for (const text of renderDamage(trace.head.report)) console.error(text);
	const hardware = { ...(flags.iotlb === undefined ? {} : { iotlb: flags.iotlb }), ...(walkCache === undefined ? {} : { walkCache }) };
	const report = await whatIf(trace, choices, { ...hardware, ...warmUpOf(flags), together });
	console.log(json ? JSON.stringify(report) : renderWhatIf(report));
});

export const whatifCommand = withExamples(command, [
	["unmaps that invalidate in batches, and a prefetch of the next page", "ioasid whatif run.merged.csv.gz --lazy --prefetch"],
	["a TLB of 64 entries in each device", "ioasid whatif run.merged.csv.gz --device-tlb 16x4"],
	["eight tenants on one IOTLB, as JSON", "ioasid whatif run.merged.csv.gz --tenants 8 --iotlb 64x8 --json"],
]);
