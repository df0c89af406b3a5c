/** Scenarios with every unit replaced by a PAPR bridge: what needs no PASID comes out as on VT-d without nesting in hardware. */
import { readFileSync } from "node:fs";
import { gunzipSync } from "node:zlib";
import { describe, expect, it } from "vitest";
import { ioasidScenarios } from "../../ts/cli/conformance/ioasid/index.ts";

const NIGHTLY = process.env.IOASID_NIGHTLY !== undefined;

interface File {
	suite: string;
	scenarios: Array<{ id: string; steps: Array<{ op: string; format?: string; nesting?: string }> }>;
}

const load = (): File => JSON.parse(gunzipSync(readFileSync(new URL("ioasid.json.gz", import.meta.url))).toString());
const failures = (file: File) => new Map([...ioasidScenarios.run(file, () => true, { uncached: false })].filter(({ outcome }) => outcome === "failed").map(({ id, got }) => [id, got ?? ""]));

/** Units of other kinds become `format`, and guests' tables are merged by software. */
function onUnits(format: string): File {
	const file = load();
	file.scenarios = file.scenarios.filter(({ steps }, i) => (NIGHTLY || i % 7 === 0) && steps.some((step) => step.op === "iommu" && step.format !== "ppc"));
	for (const { steps } of file.scenarios) {
		for (const step of steps) {
			if (step.op !== "iommu") continue;
			step.format = format;
			if ((step.nesting ?? "hw") === "hw") step.nesting = "sw";
		}
	}
	return file;
}

describe("PAPR bridges", () => {
	it("pass the scenarios of their own", () => {
		const file = load();
		file.scenarios = file.scenarios.filter(({ steps }) => steps.some(({ format }) => format === "ppc"));
		expect(file.scenarios.map(({ id }) => id)).toEqual(["kvm/hcall_map", "window/two_at_once", "window/by_address"]);
		expect([...failures(file)]).toEqual([]);
	});

	it("do what VT-d units do, PASIDs apart", () => {
		// every seventh, since each makes an engine
		const other = failures(onUnits("vtd"));
		const own = failures(onUnits("ppc"));
		const more = [...own].filter(([id]) => !other.has(id));
		for (const [id, got] of more) expect(got, id).toMatch(/PASID/);
		const count = onUnits("ppc").scenarios.length;
		expect((count - own.size) / count).toBeGreaterThan(0.4);
	});
});
