/** What the page of a sweep holds. */

export interface ComparisonData {
	version: string;
	/** the traces first, then the dimensions of the grid; values in the order of the plan */
	axes: Array<{ name: string; values: string[] }>;
	/** names of the figures */
	figures: string[];
	/** those among them that are plotted, with what they are called */
	plotted: Array<{ figure: string; label: string; ratio: boolean }>;
	/** by run: the value of each axis, then each figure */
	rows: Array<{ point: string[]; values: number[] }>;
}

/** A line of a plot: the runs that differ in one axis alone. */
export interface ComparedLine {
	label: string;
	/** by value of that axis; null where no run has it */
	values: Array<number | null>;
}

/** Lines of one figure along `axis` (an index), one for each combination of the other axes that vary. */
export function comparedLines({ axes, figures, rows }: ComparisonData, axis: number, figure: string): ComparedLine[] {
	const at = figures.indexOf(figure);
	const others = axes.map((_, i) => i).filter((i) => i !== axis && axes[i].values.length > 1);
	const lines = new Map<string, ComparedLine>();
	for (const { point, values } of rows) {
		const label = others.map((i) => (i === 0 ? point[0] : `${axes[i].name} ${point[i]}`)).join(", ") || "all";
		let line = lines.get(label);
		if (line === undefined) {
			line = { label, values: axes[axis].values.map(() => null) };
			lines.set(label, line);
		}
		line.values[axes[axis].values.indexOf(point[axis])] = values[at];
	}
	return [...lines.values()];
}
