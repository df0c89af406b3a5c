/** Steps on contexts, memory, processes and address spaces. */
import { COMMANDS, ioctlNumber } from "../../uapi/abi/commands.ts";
import { iovaRange, MAP_FLAGS, OPTION, OPTION_OP } from "../../uapi/abi/iommufd.ts";
import { Descriptors, OpenFile } from "../../uapi/descriptors.ts";
import { Errno } from "../../uapi/errno.ts";
import { MemoryFile } from "../../uapi/iommufd.ts";
import type { Steps } from "./iommufd-steps.ts";
import type { IommufdDoor } from "./iommufd-door.ts";
import { result } from "./iommufd-transport.ts";

const VALUE_OPERATIONS = { set: OPTION_OP.set, get: OPTION_OP.get, unknown: 7 };
const OPTIONS = { rlimit_mode: OPTION.rlimitMode, huge_pages: OPTION.hugePages, unknown: 99 };

export function mapFlags(flags: { readable: boolean; writeable: boolean; fixed: boolean }, raw = 0): number {
	return (flags.readable ? MAP_FLAGS.readable : 0) | (flags.writeable ? MAP_FLAGS.writeable : 0) | (flags.fixed ? MAP_FLAGS.fixed : 0) | raw;
}

type Part = Pick<
	IommufdDoor,
	| "open" | "close" | "raw" | "mem" | "mem_drop" | "mem_fill" | "mem_check" | "file" | "file_truncate" | "file_close" | "dmabuf_revoke" | "check_refs" | "memlock" | "batch_limit"
	| "proc_fork" | "proc_exit" | "check_pinned" | "ioas_alloc" | "destroy" | "ioas_map" | "ioas_map_file" | "ioas_copy" | "ioas_unmap" | "ioas_iova_ranges" | "ioas_allow_iovas" | "option"
	| "ioas_change_process" | "reserve"
>;

export function memorySteps(steps: Steps): Part {
	const { world } = steps;
	return {
		open({ node }, context) {
			const process = world.process(context.process);
			const file = world.nodes.open(node === "iommu" ? "/dev/iommu" : "/dev/vfio/vfio", process, world.credentials());
			return { binds: { self: world.remember(process, file.fd) } };
		},
		close({ target }) {
			world.close(target);
		},
		raw({ cmd, size }, context) {
			const process = world.process(context.process);
			const known = cmd === "unknown_low" || cmd === "unknown_high" ? null : COMMANDS[cmd];
			const number = known === null ? ioctlNumber(cmd === "unknown_low" ? 0x7f : 0x9f) : ioctlNumber(known.nr);
			const exact = known?.struct.size ?? 8;
			const bytes = { min_minus_1: (known?.minSize ?? 4) - 1, exact, plus_zero: exact + 8, plus_nonzero: exact + 8, null_ptr: exact }[size];
			world.withMemory(process, exact + 8, (at) => {
				const struct = new Uint8Array(exact + 8);
				new DataView(struct.buffer).setUint32(0, bytes, true);
				if (size === "plus_nonzero") struct[exact] = 1;
				process.write(at, struct);
				result(world.file(process, context.fd).ioctl(number, size === "null_ptr" ? 0n : at));
			});
		},

		mem({ va, length }, context) {
			world.process(context.process).map(va, length, { shared: true });
			return { binds: { self: va } };
		},
		mem_drop({ va, length }, context) {
			world.process(context.process).unmap(va, length);
		},
		mem_fill({ va, length, byte }, context) {
			world.process(context.process).write(va, new Uint8Array(Number(length)).fill(byte));
		},
		mem_check({ va, length, byte }, context) {
			if (world.process(context.process).read(va, Number(length)).some((one) => one !== byte)) throw new Errno("EIO", "other bytes");
		},
		file({ kind, length, map_va }, context) {
			const process = world.process(context.process);
			let fd: number;
			if (kind === "memfd") {
				const descriptors = Descriptors.of(process);
				fd = descriptors.reserve();
				descriptors.install(fd, new OpenFile("memfd", new MemoryFile(process.createMemory("memfd", length)), world.credentials()));
			} else fd = steps.test(context, "dmabuf_get", { u: { dmabuf_get: { length: Number(length) } } }).value;
			const handle = world.remember(process, fd);
			if (map_va !== undefined) {
				const at = world.file(process, handle).mmap(map_va, length, { read: true, write: true }, 0n);
				if (at < 0n) result(at);
			}
			return { binds: { self: handle } };
		},
		file_truncate({ file, length }) {
			world.memoryFile(file).memory.resize(length);
		},
		file_close({ file }) {
			world.close(file);
		},
		dmabuf_revoke({ file, revoked }, context) {
			steps.test(context, "dmabuf_revoke", { u: { dmabuf_revoke: { dmabuf_fd: world.fd(world.process(context.process), file), revoked: revoked ? 1 : 0 } } });
		},
		check_refs({ va, length, refs }, context) {
			if (world.isOpen(context.fd)) {
				steps.test(context, "check_refs", { u: { check_refs: { uptr: va, length, refs } } });
				return;
			}
			for (let at = va; at < va + length; at += 4096n) if (world.process(context.process).pinsOf(at) !== refs) throw new Errno("EIO", "other pins");
		},
		memlock({ pages }, context) {
			world.process(context.process).lockedLimit = pages;
			world.limited = true;
		},
		batch_limit({ bytes }, context) {
			steps.test(context, "memory_limit", { u: { memory_limit: { limit: bytes } } });
		},
		proc_fork(_, context) {
			const parent = world.process(context.process);
			return { binds: { self: world.addProcess(parent.fork(`${parent.name}'s child`)) } };
		},
		proc_exit({ target }) {
			world.process(target).exit();
		},
		check_pinned({ target, pages }) {
			const { pinnedVm } = world.process(target);
			if (pinnedVm !== pages) throw new Errno("EIO", `${pinnedVm} pages are charged`);
		},

		ioas_alloc({ raw_flags }, context) {
			return { binds: { self: steps.command(context, "ioas_alloc", { flags: raw_flags }).out_ioas_id } };
		},
		destroy({ id }, context) {
			steps.command(context, "destroy", { id });
		},
		ioas_map({ ioas, user_va, length, flags, iova, raw_flags, reserved }, context) {
			const out = steps.command(context, "ioas_map", { flags: mapFlags(flags, raw_flags), ioas_id: ioas, rsvd: reserved, user_va, length, iova });
			return { binds: { self: out.iova }, gives: { iova: out.iova } } as never;
		},
		ioas_map_file({ ioas, file, start, length, flags, iova, raw_flags }, context) {
			const fd = steps.fdOf(context, file);
			const out = steps.command(context, "ioas_map_file", { flags: mapFlags(flags, raw_flags), ioas_id: ioas, fd, start, length, iova });
			return { binds: { self: out.iova }, gives: { iova: out.iova } } as never;
		},
		ioas_copy({ src, dst, src_iova, length, flags, dst_iova, raw_flags }, context) {
			const out = steps.command(context, "ioas_copy", { flags: mapFlags(flags, raw_flags), dst_ioas_id: dst, src_ioas_id: src, length, dst_iova, src_iova });
			return { binds: { self: out.dst_iova }, gives: { iova: out.dst_iova } } as never;
		},
		ioas_unmap({ ioas, iova, length }, context) {
			return { gives: { length: steps.command(context, "ioas_unmap", { ioas_id: ioas, iova, length }).length ?? 0n } };
		},
		ioas_iova_ranges({ ioas, max, reserved }, context) {
			const bytes = new Uint8Array(max * iovaRange.size);
			const { error, out } = steps.attempt(context, "ioas_iova_ranges", { ioas_id: ioas, num_iovas: max, rsvd: reserved, allowed_iovas: bytes });
			if (error !== undefined && error !== "EMSGSIZE") return { error };
			const num = out.num_iovas ?? 0;
			const ranges = Array.from({ length: Math.min(num, max) }, (_, i) => {
				const { start, last } = iovaRange.decode(bytes.subarray(i * iovaRange.size, (i + 1) * iovaRange.size));
				return [start, last];
			});
			return { error, gives: { num, ranges, alignment: out.out_iova_alignment ?? 0n } };
		},
		ioas_allow_iovas({ ioas, ranges, reserved }, context) {
			const bytes = new Uint8Array(ranges.length * iovaRange.size);
			ranges.forEach(([start, last], i) => {
				bytes.set(iovaRange.encode({ start, last }), i * iovaRange.size);
			});
			steps.command(context, "ioas_allow_iovas", { ioas_id: ioas, num_iovas: ranges.length, rsvd: reserved, allowed_iovas: bytes });
		},
		option({ option, verb, object, value, reserved, unprivileged }, context) {
			const input = { option_id: OPTIONS[option], op: VALUE_OPERATIONS[verb], rsvd: reserved, object_id: object, val64: value };
			const out = steps.command(context, "option", input, !unprivileged);
			return { gives: { value: out.val64 ?? 0n } };
		},
		ioas_change_process({ reserved }, context) {
			steps.command(context, "ioas_change_process", { rsvd: reserved });
		},
		reserve({ ioas, start, length }, context) {
			steps.test(context, "add_reserved", { id: ioas, u: { add_reserved: { start, length } } });
		},
	};
}
