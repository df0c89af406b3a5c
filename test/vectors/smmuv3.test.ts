import { fileURLToPath } from "node:url";
import { expect, test } from "vitest";
import { runConformance } from "../../ts/cli/conformance/index.ts";

test.each([false, true])("every enforced request of smmuv3-qemu passes (uncached: %s)", async (uncached) => {
	const out: string[] = [];
	const err: string[] = [];
	const file = fileURLToPath(new URL("smmuv3-qemu.json.gz", import.meta.url));
	const code = await runConformance([file], { uncached, stdout: { write: (text) => out.push(text) }, stderr: { write: (text) => err.push(text) } });
	expect(err.join("")).toBe("");
	expect(code).toBe(0);
	expect(JSON.parse(out.join("").trimEnd().split("\n").at(-1) ?? "")).toMatchObject({ failed: 0, passed: 301 });
});
