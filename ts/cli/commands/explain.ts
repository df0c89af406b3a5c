import { readFileSync } from "node:fs";
import { gunzipSync } from "node:zlib";
import { Command, InvalidArgumentError } from "commander";
import { type AccessKind, Engine, type Explanation, isImage, type Translation } from "../../engine/index.ts";
import { deviceId } from "../../replay/importers/device-id.ts";
import { explainContent } from "../conformance/index.ts";
import { withExamples } from "../examples.ts";
import { renderExplanation } from "../explain-tree.ts";
import { requestWords } from "../request-words.ts";

function requester(text: string): number {
	const id = deviceId(text);
	if (id === null) throw new InvalidArgumentError(`"${text}" is neither BUS:DEVICE.FUNCTION nor a number`);
	return id;
}

function word(text: string): bigint {
	if (!/^(?:0x[0-9a-f]{1,16}|\d{1,20})$/i.test(text) || BigInt(text) >= 1n << 64n) throw new InvalidArgumentError(`"${text}" is no address of 64 bits`);
	return BigInt(text);
}

function whole(text: string): number {
	const value = word(text);
	if (value > 0xffffffn) throw new InvalidArgumentError(`"${text}" is too large`);
	return Number(value);
}

const ACCESSES: readonly AccessKind[] = ["read", "write", "execute"];
function accessKind(text: string): AccessKind {
	const kind = ACCESSES.find((one) => one === text || one[0] === text);
	if (kind === undefined && text !== "x") throw new InvalidArgumentError(`"${text}" is none of ${ACCESSES.join(", ")}`);
	return kind ?? "execute";
}

interface Flags {
	rid?: number;
	address?: bigint;
	pasid?: number;
	access: AccessKind;
	privileged?: boolean;
	unit: number;
	json?: boolean;
}

interface Told {
	title: string;
	expected?: string;
	explanation: Explanation<Translation>;
}

function ofImage(bytes: Uint8Array, { rid, address, pasid, access, privileged, unit }: Flags): Told {
	if (rid === undefined || address === undefined) throw new InvalidArgumentError("a saved machine wants --rid and --address");
	const { units } = Engine.loadImage(bytes);
	if (units[unit] === undefined) throw new InvalidArgumentError(`the machine has ${units.length} units, none is number ${unit}`);
	const options = { pasid, access, privileged };
	return { title: requestWords(rid, address, options), explanation: units[unit].explain(rid, address, options) };
}

function ofVectors(path: string, bytes: Uint8Array, only: string | undefined): Told[] {
	if (only === undefined) throw new InvalidArgumentError("a vectors file wants a CASE or CASE#INDEX");
	let content: unknown;
	try {
		content = JSON.parse(new TextDecoder().decode(bytes));
	} catch {
		throw new RangeError(`${path} holds neither a machine nor JSON`);
	}
	return explainContent(content, only).map(({ id, request, expected, explanation }) => ({ title: `${id}: ${request}`, expected, explanation }));
}

/** A file, gunzipped where it is gzip. @throws RangeError */
function contentOf(path: string): Uint8Array {
	try {
		const bytes = readFileSync(path);
		return bytes[0] === 0x1f && bytes[1] === 0x8b ? gunzipSync(bytes) : bytes;
	} catch (error) {
		throw new RangeError(`${path} cannot be read: ${error instanceof Error ? error.message.split("\n")[0] : String(error)}`);
	}
}

/** BigInts as hexadecimal strings. */
const plain = (_: string, value: unknown) => (typeof value === "bigint" ? `0x${value.toString(16)}` : value);

const command = new Command("explain")
	.description("show every table entry that a translation reads, and what made it fault")
	.argument("<file>", "a vectors file, or a machine that Engine.saveImage wrote; plain or .gz")
	.argument("[case]", "of a vectors file: CASE#INDEX, or CASE for all of its requests")
	.option("--rid <id>", "of a machine: who asks, BUS:DEVICE.FUNCTION or a number (StreamID, device_id)", requester)
	.option("--address <address>", "of a machine: the address", word)
	.option("--pasid <n>", "PASID, SubstreamID or process_id", whole)
	.option("--access <kind>", "read, write or execute", accessKind, "read")
	.option("--privileged", "the request asks for supervisor privilege")
	.option("--unit <n>", "which IOMMU of the machine", whole, 0)
	.option("--json", "print one JSON object for each request")
	.action((path: string, only: string | undefined, flags: Flags) => {
		const bytes = contentOf(path);
		const told = isImage(bytes) ? [ofImage(bytes, flags)] : ofVectors(path, bytes, only);
		for (const { title, expected, explanation } of told) {
			if (flags.json) {
				console.log(JSON.stringify({ version: 1, request: title, ...(expected === undefined ? {} : { expected }), ...explanation }, plain));
				continue;
			}
			console.log(renderExplanation(title, explanation));
			if (expected !== undefined) console.log(`   the file expects ${expected}`);
		}
	});

export const explainCommand = withExamples(command, [
	["one request of a vectors file", "ioasid explain vectors.json.gz amdvi-m1-20261101-0#0"],
	["every request of a case, as JSON", "ioasid explain vectors.json.gz amdvi-m1-20261101-0 --json"],
	["why the DMA of a saved machine faults", "ioasid explain machine.image.gz --rid 00:01.0 --address 0x10123 --access write"],
	["a request with PASID", "ioasid explain machine.image.gz --rid 0x8 --address 0x10123 --pasid 3"],
]);
