/**
 * Flows as text, one step a line, run by the scenario runner of the product:
 *
 *     a = ioasid_alloc kind=kernel        the step binds `a`
 *     attach dev1 a vpasid=1              required parameters by place, others by name; a bare word is a flag that is set
 *     xlate dev1 0x1000 => hva:0x40001000 outputs; alternatives with |
 *     bind dev1 !EBUSY                    a refusal; `!error` is any
 */
import { expect, it } from "vitest";
import { ioasidScenarios } from "../../ts/cli/conformance/ioasid/index.ts";
import type { Policy } from "../../ts/core/index.ts";

/** Operations with their parameters, as ioasid-vocab.json has them. */
const OPERATIONS = `
	iommu as format:word addr_width?:num pasid_bits?:num snoop_enforce?:bool nesting?:word max_depth?:num page_sizes?:num reserved?:json pasid_table?:bool dirty?:bool
	device as iommu:ref driver:word group?:word parent?:ref pasid?:bool dmwr?:bool delegated?:bool pri?:bool ats?:bool no_snoop?:bool alias_of?:ref rmrr?:bool virt_table?:bool
	probe device:ref driver:word
	unplug device:ref
	proc as
	mem as va:num length:num
	mem_drop va:num length:num
	mem_fill va:num length:num byte:num
	mem_check va:num length:num byte:num
	rlimit pages:num
	locked pages:num
	open as node:word
	close target:ref
	enable ioasid:id
	check_extension ext:word
	bind device:ref cookie?:num
	unbind device:ref
	device_close device:ref
	device_mmap device:ref
	group_bind group:word
	attach device:ref ioasid:id vpasid?:num queue?:word hints?:flags implicit_group?:bool mode?:word wrapper?:word
	detach device:ref ioasid:id vpasid?:num queue?:word
	device_get_info cookie:num
	vfio_device_info device:ref
	ioasid_alloc kind?:word parent?:id user_pgtable?:json user_pasid_table?:json snoop?:word iopf?:bool windows?:bool
	ioasid_free ioasid:id
	get_info ioasid:id
	create_nesting parent:id
	bind_pgtable ioasid:id format:word addr:num width?:num
	unbind_pgtable ioasid:id
	bind_pasid_table ioasid:id format:word addr:num size:num
	register_memory vaddr:num size:num
	unregister_memory vaddr:num size:num
	map ioasid:id vaddr:num size:num iova?:num flags?:flags alloc?:bool
	bar_map ioasid:id iova:num device:ref offset:num size:num
	unmap ioasid:id iova:num size:num get_dirty?:bool
	invalidate ioasid:id cache?:word cookie?:num vpasid?:num range?:json
	lookup ioasid:id addr:num
	window_create ioasid:id size:num page_size:num base?:num
	window_remove ioasid:id base:num
	dirty_start ioasid:id
	dirty_stop ioasid:id
	dirty_get ioasid:id iova:num size:num page_size:num
	pt_new as format:word hva:num root:num pool:num width?:num
	pt_write table:ref va:num to:num perms?:flags level?:num
	pt_clear table:ref va:num
	pasid_table_new as format:word hva:num addr:num size:num
	pasid_table_write table:ref pasid:num pgtable:ref
	pasid_table_clear table:ref pasid:num
	access_pin device:ref iova:num length:num write?:bool
	access_unpin device:ref pin:num
	access_rw device:ref iova:num length:num dir:word byte:num
	access_lookup_parent device:ref iova:num
	access_notified device:ref
	vm as
	vm_assign vm:ref device:ref
	kvm_pasid_cap vm:ref enable:bool
	kvm_map_pasid vm:ref vpasid:num ioasid:id
	kvm_unmap_pasid vm:ref vpasid:num
	enqcmd vm:ref device:ref vpasid:num addr:num access?:word
	mmio_pasid device:ref vpasid:num
	kvm_add_fd vm:ref
	kvm_del_fd vm:ref
	wbinvd vm:ref
	fd_wbinvd
	kvm_add_liobn vm:ref liobn:num ioasid:id
	h_put_tce vm:ref liobn:num ioba:num tce:num clear?:bool
	page_request device:ref addr:num pasid?:num access?:word
	dma_miss device:ref addr:num pasid?:num access?:word
	inject_fault device:ref addr:num pasid?:num access?:word
	events
	fault_respond ioasid:id addr:num code:word cookie?:num vpasid?:num
	fault_state fault:ref
	vfio_set_container group:word container:ref
	vfio_unset_container group:word
	vfio_set_iommu container:ref type:word
	vfio_get_device_fd device:ref
	vfio_map container:ref iova:num vaddr:num size:num flags?:flags
	vfio_unmap container:ref iova:num size:num
	vfio_ioasid container:ref verb:word ioasid?:id
	vfio_hidden_count container:ref count:num
	vfio_check_extension container:ref ext:word
	vfio_dirty_pages container:ref
	xlate device:ref addr:num pasid?:num raw_pasid?:num queue?:word access?:word
	dma_write device:ref addr:num length:num byte:num pasid?:num
	dma_read device:ref addr:num length:num byte:num pasid?:num
	slots device:ref
	ppasid as device:ref vpasid?:num
	pasid_space as device:ref
	assert_num value:num eq?:num ne?:num in?:json not_in?:json multiple_of?:num
	group_info device:ref
	slot_history device:ref
	reason mentions:json
`;

interface Signature {
	binds: boolean;
	required: Array<[string, string]>;
	optional: Map<string, string>;
}

const SIGNATURES = new Map<string, Signature>(
	OPERATIONS.trim()
		.split("\n")
		.map((line) => {
			const [op, ...words] = line.trim().split(" ");
			const binds = words[0] === "as";
			const parameters = (binds ? words.slice(1) : words).map((word) => word.split(":") as [string, string]);
			const required = parameters.filter(([key]) => !key.endsWith("?"));
			const optional = new Map(parameters.filter(([key]) => key.endsWith("?")).map(([key, type]) => [key.slice(0, -1), type]));
			return [op, { binds, required, optional }];
		}),
);

const COMMON = new Map([
	["fd", "ref"],
	["proc", "ref"],
]);

/** JSON without quotes. */
function loose(text: string): unknown {
	return JSON.parse(text.replace(/0x[0-9a-f]+|\$?[A-Za-z_][\w+]*/gi, (word) => (["true", "false", "null"].includes(word) ? word : `"${word}"`)));
}

function value(type: string, text: string): unknown {
	if (type === "json") return loose(text);
	if (type === "bool") return text !== "false";
	if (type === "flags") return text.split(",").filter((flag) => flag !== "");
	if (type === "word") return text;
	return /^[a-z_]/i.test(text) ? `$${text}` : text;
}

function parse(line: string) {
	const [, as, call, outs, refusal] = /^(?:(\w+) = )?(.*?)(?: => (.*))?(?: !([\w|]+))?$/.exec(line) ?? [];
	const [op, ...words] = call.split(/ +/);
	const signature = SIGNATURES.get(op);
	if (signature === undefined) throw new Error(`no operation: ${line}`);
	const step: Record<string, unknown> & { op: string } = { op };
	if (as !== undefined) step.as = as;
	if (signature.binds && as === undefined) throw new Error(`it binds a name: ${line}`);
	words.forEach((word, i) => {
		if (i < signature.required.length) {
			const [key, type] = signature.required[i];
			if (/^\w+=/.test(word)) throw new Error(`${key} is given by place: ${line}`);
			step[key] = value(type, word);
			return;
		}
		const [, key, text] = /^(\w+)(?:=(.*))?$/.exec(word) ?? [];
		const type = signature.optional.get(key) ?? COMMON.get(key);
		if (type === undefined) throw new Error(`no parameter ${word}: ${line}`);
		step[key] = value(type, text ?? "true");
	});
	if (words.length < signature.required.length) throw new Error(`too few parameters: ${line}`);
	if (outs !== undefined) {
		const alternatives = outs.split(" | ").map((one) => loose(`{${one}}`));
		if (alternatives.length === 1) step.out = alternatives[0];
		else step.any_of = alternatives;
	}
	if (refusal !== undefined) step.expect = refusal.includes("|") ? refusal.split("|") : refusal;
	return step;
}

export interface FlowOptions {
	/** door whose defaults hold; default v2 */
	uapi?: "v1" | "v2" | "vfio" | "core";
	options?: Partial<Policy>;
}

/** Run a flow. @returns what went wrong, null when nothing did */
export function runFlow(text: string, { uapi = "v2", options = {} }: FlowOptions = {}): string | null {
	const lines = text
		.split("\n")
		.map((line) => line.replace(/(^|\s)#.*/, "").trim())
		.filter((line) => line !== "");
	const scenario = { id: "flow", uapi, options, steps: lines.map(parse) };
	for (const { outcome, expected, got } of ioasidScenarios.run({ suite: "ioasid", scenarios: [scenario] }, () => true, { uncached: false })) {
		if (outcome === "failed") return `${lines[Number(/step (\d+)/.exec(expected ?? "")?.[1] ?? -1)] ?? "end"}\n  expected ${expected}\n  got ${got}`;
	}
	return null;
}

/** A test of one flow. */
export function flow(name: string, text: string, options: FlowOptions = {}): void {
	it(name, () => {
		expect(runFlow(text, options)).toBe(null);
	});
}

/** Units that walk users' tables, by kind. */
export const HARDWARE = ["vtd", "smmuv3", "amdvi", "riscv"] as const;
/** Every kind of unit. */
export const ALL = [...HARDWARE, "ppc"] as const;

/** A test of one flow on each kind of unit. */
export function flows(name: string, kinds: readonly string[], text: (kind: string) => string, options: FlowOptions = {}): void {
	for (const kind of kinds) flow(`${name} (${kind})`, text(kind), options);
}
