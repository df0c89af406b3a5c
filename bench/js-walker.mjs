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
