/** Light and dark: what the system prefers, until the button says otherwise. */

const root = document.documentElement;
const system = matchMedia("(prefers-color-scheme: dark)");
const listeners: Array<() => void> = [];
let chosen: "light" | "dark" | null = null;

/** A colour of the style sheet: `--fore` */
export const colour = (name: string): string => getComputedStyle(root).getPropertyValue(name).trim();

/** The colour of the n-th series, and its dashes when the colours come round again. */
export const seriesColour = (index: number): string => colour(`--c${index % 8}`);
export const seriesDash = (index: number): number[] => (index < 8 ? [] : [8, 4]);

/** Be told to draw again. */
export function onTheme(redraw: () => void): void {
	listeners.push(redraw);
}

function apply(button: HTMLButtonElement): void {
	const theme = chosen ?? (system.matches ? "dark" : "light");
	root.dataset.theme = theme;
	button.textContent = theme === "dark" ? "Light" : "Dark";
	button.setAttribute("aria-label", `Switch to ${theme === "dark" ? "light" : "dark"} colours`);
	for (const listener of listeners) listener();
}

/** Follow the system and the button. */
export function startTheme(button: HTMLButtonElement): void {
	system.addEventListener("change", () => apply(button));
	button.addEventListener("click", () => {
		chosen = root.dataset.theme === "dark" ? "light" : "dark";
		apply(button);
	});
	apply(button);
}
