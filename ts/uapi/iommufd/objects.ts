/** Numbered objects of one open file, and who holds whom. */
import type { FailPoint } from "../../core/index.ts";
import { Errno } from "../errno.ts";

export type Kind = "device" | "ioas" | "paging" | "nested" | "fault" | "viommu" | "vdevice" | "veventq" | "hw_queue" | "access" | "selftest";

/** An object with a number. Nobody destroys it while somebody holds it. */
export abstract class Entity {
	abstract readonly kind: Kind;
	id = 0;
	/** others that need it: objects, attachments, open descriptors, drivers */
	holders = 0;
	/** Give up all it has; nothing can refuse. */
	abstract destroy(): void;
}

/** a number that names nothing: reserved by a call that is not done, or dead for ever */
type Blank = "reserved" | "tombstone";
const LIMIT = 2 ** 31 - 1;

export class ObjectTable {
	private readonly list = new Map<number, Entity | Blank>();

	constructor(private readonly failures: FailPoint) {}

	/**
	 * Make an object under the lowest free number. The number names it only once `make` is done; when that fails the number
	 * is free again.
	 * @throws Errno ENOMEM, and what `make` throws
	 */
	create<E extends Entity>(make: (id: number) => E): E {
		this.failures.pass("id", "create", "objects");
		let id = 1;
		while (this.list.has(id)) id++;
		if (id > LIMIT) throw new Errno("ENOMEM", "every number is taken");
		this.list.set(id, "reserved");
		try {
			const made = make(id);
			made.id = id;
			this.list.set(id, made);
			return made;
		} catch (error) {
			this.list.delete(id);
			throw error;
		}
	}

	/** @throws Errno ENOENT */
	any(id: number): Entity {
		const found = this.list.get(id);
		if (found === undefined || typeof found === "string") throw new Errno("ENOENT", `no object ${id}`);
		return found;
	}

	/** @throws Errno ENOENT also for an object of another kind */
	get<E extends Entity>(id: number, type: abstract new (...args: never[]) => E): E {
		const found = this.any(id);
		if (!(found instanceof type)) throw new Errno("ENOENT", `object ${id} is a ${found.kind}`);
		return found;
	}

	/** Take an object out and end it, whoever holds it. */
	remove(entity: Entity, tombstone = false): void {
		if (this.list.get(entity.id) !== entity) return;
		if (tombstone) this.list.set(entity.id, "tombstone");
		else this.list.delete(entity.id);
		entity.destroy();
	}

	/** @throws Errno ENOENT, EBUSY (somebody holds it) */
	destroy(id: number): Entity {
		const found = this.any(id);
		if (found.holders > 0) throw new Errno("EBUSY", `${found.kind} ${id} is held ${found.holders} times`);
		this.remove(found);
		return found;
	}

	/** No number is taken, not even by what is dead. */
	get isEmpty(): boolean {
		return this.list.size === 0;
	}

	*[Symbol.iterator](): Iterator<Entity> {
		for (const entity of [...this.list.values()]) if (typeof entity !== "string") yield entity;
	}

	/** Numbers of what is dead may be given again. */
	bury(): void {
		for (const [id, entity] of this.list) if (entity === "tombstone") this.list.delete(id);
	}

	/** What exists, for dumps. */
	describe(): Array<[number, string, number]> {
		return [...this.list].map(([id, entity]) => (typeof entity === "string" ? [id, entity, 0] : [id, entity.kind, entity.holders]));
	}
}
