// Batches of translations of every architecture, beside a walker in plain JavaScript with the same tables.
import { BATCH, FORMATS, machines, nestedMachine } from "./machines.mjs";
import { line, measure } from "./measure.mjs";

const CASES = [
	["1,024 hot pages, 1 device", (architecture) => machines(1024, 1, architecture)],
	["262,144 random pages, 64 devices", (architecture) => machines(262_144, 64, architecture)],
	["cold, both stages, 16,384 random pages", (architecture) => nestedMachine(16_384, architecture)],
];

let keep = 0;

export async function translations() {
	const architectures = process.env.BENCH_ARCH?.split(",") ?? Object.keys(FORMATS);
	line("translations (ns each, median)", "engine", "JavaScript", "ratio", "refs each");
	for (const [title, make] of CASES) {
		for (const architecture of architectures) {
			const { unit, js, iova, rid } = make(architecture);
			const results = await measure({
				engine: () => {
					keep += unit.batch(BATCH);
				},
				js: () => {
					let sum = 0;
					for (let i = 0; i < BATCH; i++) sum += js.translate(rid[i], iova[i], 1);
					keep += sum;
				},
			});
			const references = () => Object.values(unit.counters().references).flat().reduce((a, b) => a + b, 0);
			const before = references();
			unit.batch(BATCH);
			const ns = (ms) => (ms * 1e6) / BATCH;
			line(`${architecture}: ${title}`, ns(results.engine).toFixed(1), ns(results.js).toFixed(1), `${(results.js / results.engine).toFixed(1)}x`, ((references() - before) / BATCH).toFixed(2));
		}
	}
	if (Number.isNaN(keep)) console.log(keep);
}
