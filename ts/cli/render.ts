import pc from "picocolors";
import type { LoggedFault } from "../replay/logged-fault.ts";
import type { TraceStream } from "../replay/head.ts";
import type { ImportReport } from "../replay/trace.ts";
import { Kind } from "../replay/trace.ts";
import type { ReplaySummary } from "../replay/summary.ts";
import { bytes, number, percent, table } from "./table.ts";

/** A replay for people. */
export function renderSummary(summary: ReplaySummary): string {
	const { dma, iotlb, recorded, faults } = summary;
	const out: string[] = [];
	if (faults.logged !== undefined) out.push(renderLoggedFaults(faults.logged), "");
	// a kernel log alone: there was nothing to replay
	if (summary.perDevice.length === 0 && faults.logged !== undefined) return [...out, ...summary.notes.map((note) => pc.dim(`note: ${note}`))].join("\n");
	out.push(
		table(
			["device", "DMAs", "peak mapped", "hit rate", "refs/DMA", "faults", "disagree"],
			summary.perDevice.map((d) => [
				d.name,
				number(d.dma),
				bytes(d.peakBytes),
				percent(d.hits, d.hits + d.misses),
				d.dma === 0 ? "-" : (d.references / d.dma).toFixed(2),
				number(d.faults),
				number(d.disagreements),
			]),
			[false, true, true, true, true, true, true],
		),
	);
	out.push("");
	const verdict = dma.wrongAddress + dma.unexplained === 0 ? pc.green("all matched") : pc.red(`${number(dma.wrongAddress)} wrong addresses, ${number(dma.unexplained)} unexplained`);
	out.push(`${number(dma.total)} DMAs of ${number(summary.events)} events: ${verdict}${dma.stale > 0 ? `, ${number(dma.stale)} stale answers` : ""}`);
	out.push(`IOTLB ${number(iotlb.hits)} hits, ${number(iotlb.misses)} misses (${percent(iotlb.hits, iotlb.hits + iotlb.misses)} hits)`);
	if (summary.perPageSize.length > 1) {
		out.push(`by page size: ${summary.perPageSize.map(({ bytes: size, hits, misses }) => `${size === null ? "faults" : bytes(size)} ${percent(hits, hits + misses)} of ${number(hits + misses)}`).join(", ")}`);
	}
	if (summary.deviceTlb !== null) {
		const { hits, requests, invalidations } = summary.deviceTlb;
		out.push(`device-TLBs ${percent(hits, hits + requests)} of ${number(hits + requests)}: ${number(requests)} translation requests, ${number(invalidations)} Invalidate Requests`);
	}
	if (summary.latency !== null) {
		const { unit, mean, p50, p99, most } = summary.latency;
		out.push(`latency mean ${mean.toFixed(1)}, p50 ${p50}, p99 ${p99}, most ${most} ${unit}`.trimEnd());
	}
	if (summary.warmUp !== null) out.push(`${number(summary.warmUp.events)} events (${number(summary.warmUp.dma)} DMAs) before the mark are left out`);
	if (recorded.hits + recorded.misses > 0) {
		out.push(`recorder's IOTLB ${number(recorded.hits)} hits, ${number(recorded.misses)} misses; the replay agrees on ${percent(recorded.agree, recorded.agree + recorded.disagree)}`);
	}
	if (faults.recorded > 0) out.push(`${number(faults.recorded)} recorded faults, ${number(faults.matched)} matched`);
	out.push(`import ${summary.importSeconds.toFixed(2)} s, engine ${summary.seconds.toFixed(3)} s (${number(summary.eventsPerSecond)} events/s)`);
	if (summary.replacedMaps > 0) out.push(`${number(summary.replacedMaps)} maps over mapped pages replaced them`);
	if (summary.refusedEdits > 0) out.push(`${number(summary.refusedEdits)} maps or unmaps could not be applied`);
	for (const note of summary.notes) out.push(pc.dim(`note: ${note}`));
	if (summary.disagreements.length > 0) {
		out.push("", pc.bold("first disagreements"));
		for (const d of summary.disagreements) {
			out.push(`  ${(d.time / 1e6).toFixed(6)} s  ${d.device}  ${d.address}  ${d.kind}: recorded ${d.recorded}, replayed ${d.replayed}; ${d.because}`);
		}
	}
	return out.join("\n");
}

/** Lines that are printed of a kernel log's faults. */
const SHOWN = 50;

/** The faults of a kernel log, one line each. */
function renderLoggedFaults(faults: readonly LoggedFault[]): string {
	if (faults.length === 0) return "no faults in the kernel log";
	const rows = faults.slice(0, SHOWN).map((fault) => [
		fault.time === null ? "-" : (fault.time / 1e6).toFixed(6),
		fault.unit === null ? fault.driver : `${fault.driver} ${fault.unit}`,
		fault.device ?? "-",
		fault.address ?? "-",
		fault.access ?? "-",
		fault.pasid === null ? "-" : String(fault.pasid),
		`${fault.reason ?? "-"}${fault.incomplete ? " (incomplete)" : ""}`,
	]);
	const text = table(["time s", "IOMMU", "device", "address", "access", "pasid", "reason"], rows, [true, false, false, true, false, true, false]);
	return faults.length > SHOWN ? `${text}\n... and ${number(faults.length - SHOWN)} more (--json has them)` : text;
}

/** Damaged places of an import, one line each. */
export function renderDamage(report: Pick<ImportReport, "damage" | "damagedLines">): string[] {
	const lines = report.damage.slice(0, 10).map((d) => `${d.file}${d.line === null ? "" : `:${d.line}`}: ${d.what}`);
	if (report.damagedLines > lines.length) lines.push(`${number(report.damagedLines)} damaged lines in all`);
	return lines;
}

/** What a trace holds. */
export async function renderInfo(stream: TraceStream): Promise<string> {
	const trace = stream.head;
	const { devices, report } = trace;
	const counts = new Map<number, number>();
	const of = (kind: number) => number(counts.get(kind) ?? 0);
	const perDevice = devices.map(() => ({ dma: 0, map: 0, unmap: 0, fault: 0 }));
	let [events, first, last] = [0, 0, 0];
	for await (const { length, kind, id, time } of stream.chunks()) {
		for (let i = 0; i < length; i++) {
			counts.set(kind[i], (counts.get(kind[i]) ?? 0) + 1);
			const device = kind[i] === Kind.invalidate ? undefined : perDevice[id[i]];
			if (device === undefined) continue;
			if (kind[i] === Kind.dma) device.dma++;
			else if (kind[i] === Kind.map) device.map++;
			else if (kind[i] === Kind.unmap) device.unmap++;
			else device.fault++;
		}
		if (length === 0) continue;
		if (events === 0) first = time[0];
		last = time[length - 1];
		events += length;
	}
	const seconds = (last - first) / 1e6;
	return [
		`${trace.files.join(", ")}: recorded on ${trace.architecture}, ${trace.stage}-stage tables, ${seconds.toFixed(3)} s`,
		`${number(events)} events: ${of(Kind.dma)} dma, ${of(Kind.map)} map, ${of(Kind.unmap)} unmap, ${of(Kind.invalidate)} invalidate, ${of(Kind.fault)} fault`,
		`${number(report.lines)} lines read, ${number(report.ignoredLines)} without an event, ${number(report.damagedLines)} damaged`,
		"",
		table(
			["device", "sid", "domain", "levels", "DMAs", "maps", "unmaps", "faults"],
			devices.map((d, i) => [d.name, `0x${d.rid.toString(16)}`, String(d.domain ?? "-"), String(d.levels ?? "-"), number(perDevice[i].dma), number(perDevice[i].map), number(perDevice[i].unmap), number(perDevice[i].fault)]),
			[false, true, true, true, true, true, true, true],
		),
		...(trace.loggedFaults === undefined ? [] : ["", renderLoggedFaults(trace.loggedFaults)]),
		...report.notes.map((note) => pc.dim(`note: ${note}`)),
	].join("\n");
}
