/** Typed views of a linear memory, made again when the memory has grown (growth detaches them). */
export class Views {
	private u8: Uint8Array;
	private view: DataView;

	constructor(private readonly memory: WebAssembly.Memory) {
		this.u8 = new Uint8Array(memory.buffer);
		this.view = new DataView(memory.buffer);
	}

	private refresh(): void {
		this.u8 = new Uint8Array(this.memory.buffer);
		this.view = new DataView(this.memory.buffer);
	}

	bytes(): Uint8Array {
		if (this.u8.length === 0) this.refresh();
		return this.u8;
	}

	data(): DataView {
		if (this.u8.length === 0) this.refresh();
		return this.view;
	}

	buffer(): ArrayBuffer {
		return this.memory.buffer as ArrayBuffer;
	}

	byteLength(): number {
		return this.memory.buffer.byteLength;
	}
}
