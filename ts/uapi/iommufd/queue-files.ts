/** The files that page requests and virtual events are read from. */
import { PGFAULT_FLAGS, pageResponse, pgfault, veventHeader, VEVENT_FLAGS, PAGE_RESPONSE } from "../abi/data.ts";
import type { Caller, FileOps } from "../descriptors.ts";
import { POLL } from "../descriptors.ts";
import { Errno } from "../errno.ts";
import { copyFromUser, copyToUser } from "../user-memory.ts";
import { run } from "./call.ts";
import type { DeviceEntity, FaultEntity, VeventqEntity } from "./entities.ts";
import type { Entity } from "./objects.ts";

/** The open descriptor holds its queue, and the file that the queue belongs to. */
abstract class QueueFile implements FileOps {
	constructor(
		protected readonly entity: Entity,
		private readonly closed: () => void,
	) {
		entity.holders++;
	}

	release(): void {
		this.entity.holders--;
		this.closed();
	}
}

export class FaultFile extends QueueFile {
	constructor(
		readonly fault: FaultEntity,
		private readonly deviceOf: (device: DeviceEntity["device"]) => number,
		closed: () => void,
	) {
		super(fault, closed);
	}

	get wakeups(): Set<() => void> {
		return this.fault.queue.wakeups;
	}

	/** Whole groups as records of 40 bytes, as many as fit. */
	read(caller: Caller, address: bigint, length: number): number {
		if (length % pgfault.size !== 0) throw new Errno("ESPIPE", `${length} bytes are no whole records`);
		const { queue } = this.fault;
		let done = 0;
		for (let next = queue.next; next !== undefined && next.faults.length * pgfault.size <= length - done; next = queue.next) {
			let cookie: number;
			try {
				cookie = run(() => queue.take()).cookie;
			} catch (error) {
				if (done > 0) return done;
				throw error;
			}
			try {
				for (const { permissions, address: addr, last } of next.faults) {
					const flags = (next.pasid === null ? 0 : PGFAULT_FLAGS.pasidValid) | (last ? PGFAULT_FLAGS.lastPage : 0);
					const record = { flags, dev_id: this.deviceOf(next.device), pasid: next.pasid ?? 0, grpid: next.group, perm: permissions, addr, cookie };
					copyToUser(caller.process, address + BigInt(done), pgfault.encode(record));
					done += pgfault.size;
				}
			} catch (error) {
				queue.putBack(cookie);
				if (done >= pgfault.size) return done - (done % pgfault.size);
				throw error;
			}
		}
		return done;
	}

	/** Answers of 8 bytes; those before a wrong one stand. */
	write(caller: Caller, address: bigint, length: number): number {
		if (length % pageResponse.size !== 0) throw new Errno("ESPIPE", `${length} bytes are no whole answers`);
		for (let done = 0; done < length; done += pageResponse.size) {
			try {
				const { cookie, code } = pageResponse.decode(copyFromUser(caller.process, address + BigInt(done), pageResponse.size));
				if (code !== PAGE_RESPONSE.success && code !== PAGE_RESPONSE.invalid) throw new Errno("EINVAL", `answer code ${code}`);
				run(() => this.fault.queue.answer(cookie, code === PAGE_RESPONSE.success ? "success" : "invalid"));
			} catch (error) {
				if (done > 0) return done;
				throw error;
			}
		}
		return length;
	}

	poll(): number {
		return POLL.out | (this.fault.queue.readable ? POLL.in | POLL.rdnorm : 0);
	}
}

export class VeventFile extends QueueFile {
	constructor(
		readonly veventq: VeventqEntity,
		closed: () => void,
	) {
		super(veventq, closed);
	}

	get wakeups(): Set<() => void> {
		return this.veventq.queue.wakeups;
	}

	/** Headers with the event behind each, or the note that some were lost. */
	read(caller: Caller, address: bigint, length: number): number {
		const { queue } = this.veventq;
		let done = 0;
		for (let next = queue.next; next !== undefined; next = queue.next) {
			const data = next.data ?? new Uint8Array(0);
			if (veventHeader.size + data.length > length - done) break;
			const bytes = veventHeader.encode({ flags: next.data === null ? VEVENT_FLAGS.lostEvents : 0, sequence: next.sequence }, data.length);
			bytes.set(data, veventHeader.size);
			try {
				copyToUser(caller.process, address + BigInt(done), bytes);
			} catch (error) {
				if (done > 0) return done;
				throw error;
			}
			queue.shift();
			done += bytes.length;
		}
		return done;
	}

	poll(): number {
		return this.veventq.queue.readable ? POLL.in | POLL.rdnorm : 0;
	}
}
