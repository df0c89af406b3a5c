// The same hardware in plain JavaScript: page tables as a Map of physical word address -> entry, a four-level walk of
// VT-d second-stage entries, and a Map as IOTLB. Addresses stay below 2^53, so that plain numbers do; entries are
// numbers too, with the address divided out instead of BigInt arithmetic, which is the faster choice by far.
const READ = 1;
const WRITE = 2;
const LEAF = 128;

export class JsUnit {
	words = new Map();
	/** rid -> { root, domain } */
	routes = new Map();
	iotlb = new Map();
	nextTable = 0x1000;

	constructor(entries) {
		this.entries = entries;
	}

	device(rid, domain) {
		const root = this.nextTable;
		this.nextTable += 4096;
		this.routes.set(rid, { root, domain });
		return root;
	}

	map(rid, iova, pa) {
		let table = this.routes.get(rid).root;
		for (let level = 3; level > 0; level--) {
			const at = table + (Math.floor(iova / 2 ** (12 + 9 * level)) % 512) * 8;
			let entry = this.words.get(at);
			if (entry === undefined) {
				entry = this.nextTable + READ + WRITE;
				this.nextTable += 4096;
				this.words.set(at, entry);
			}
			table = entry - (entry % 4096);
		}
		this.words.set(table + (Math.floor(iova / 4096) % 512) * 8, pa + READ + WRITE);
	}

	/** output address, or -1 for a fault */
	translate(rid, iova, need) {
		const route = this.routes.get(rid);
		if (route === undefined) return -1;
		const page = Math.floor(iova / 4096);
		const key = route.domain * 2 ** 36 + page;
		const cached = this.iotlb.get(key);
		if (cached !== undefined && (cached & need) === need) return cached - (cached % 4096) + (iova % 4096);
		let table = route.root;
		for (let level = 3; level >= 0; level--) {
			const span = 2 ** (12 + 9 * level);
			const entry = this.words.get(table + (Math.floor(iova / span) % 512) * 8);
			if (entry === undefined || (entry & need) !== need) return -1;
			const address = entry - (entry % 4096);
			if (level === 0 || entry & LEAF) {
				// a Map keeps the order of insertion: the oldest goes
				if (this.iotlb.size === this.entries) this.iotlb.delete(this.iotlb.keys().next().value);
				this.iotlb.set(key, address + Math.floor((iova % span) / 4096) * 4096 + (entry & 3));
				return address + (iova % span);
			}
			table = address;
		}
		return -1;
	}
}

/** Two stages without any cache: each first-stage table, and the output, goes through the second stage. */
export class JsNested {
	words = new Map();
	nextTable = 0;

	/** `bytes`: tables of the first stage, which the second maps as they are by 2 MiB leaves */
	constructor(bytes) {
		this.second = this.table();
		this.first = 0;
		this.guestTables = 4096;
		for (let at = 0; at < bytes; at += 2 ** 21) this.put(this.second, at, at + READ + WRITE + LEAF, 1, () => this.table());
	}

	table() {
		this.nextTable += 4096;
		return 2 ** 40 + this.nextTable;
	}

	put(root, address, leaf, last, make) {
		let table = root;
		for (let level = 3; level > last; level--) {
			const at = table + (Math.floor(address / 2 ** (12 + 9 * level)) % 512) * 8;
			let entry = this.words.get(at);
			if (entry === undefined) {
				entry = make() + READ + WRITE;
				this.words.set(at, entry);
			}
			table = entry - (entry % 4096);
		}
		this.words.set(table + (Math.floor(address / 2 ** (12 + 9 * last)) % 512) * 8, leaf);
	}

	map(iova, guest, pa) {
		this.put(this.first, iova, guest + READ + WRITE, 0, () => {
			this.guestTables += 4096;
			return this.guestTables - 4096;
		});
		this.put(this.second, guest, pa + READ + WRITE, 0, () => this.table());
	}

	/** output of one stage, or -1; `through`: its tables lie behind the second stage */
	walk(root, address, need, through) {
		let table = root;
		for (let level = 3; level >= 0; level--) {
			const span = 2 ** (12 + 9 * level);
			let at = table + (Math.floor(address / span) % 512) * 8;
			if (through) at = this.walk(this.second, at, READ, false);
			const entry = this.words.get(at);
			if (entry === undefined || (entry & need) !== need) return -1;
			table = entry - (entry % 4096);
			if (level === 0 || entry & LEAF) return table + (address % span);
		}
		return -1;
	}

	/** output address, or -1 for a fault */
	translate(_rid, iova, need) {
		const guest = this.walk(this.first, iova, need, true);
		return guest < 0 ? -1 : this.walk(this.second, guest, need, false);
	}
}
