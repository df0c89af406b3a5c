// The HTML report of the packed package in Chromium: every plot draws its data in light and dark, on a desk and a phone, by keys too.
import assert from "node:assert/strict";
import { statSync } from "node:fs";
import { join } from "node:path";
import { pathToFileURL } from "node:url";
import { chromium } from "playwright-core";
import { root, run } from "../package/pack.mjs";

const traces = join(root, "test/traces");
const ALWAYS = ["miss-ratio", "life-times", "hit-rate", "activity", "devices", "address-map", "levels", "levels-time"];
const REPORTS = [
	{ name: "mixed", files: ["vtd_mixed_cut.merged.csv.gz"], plots: ALWAYS },
	{ name: "faults", files: ["vtd_faults_edu.qemu.log.gz", "vtd_faults_edu.guest_ftrace.txt.gz"], plots: [...ALWAYS, "faults"] },
];
const DESK = { width: 1100, height: 900 };
const PHONE = { width: 360, height: 740 };

/** In the page: what each plot has on its canvas, as pixels that are neither transparent nor grey. */
function drawn() {
	return [...document.querySelectorAll("figure")].map((figure) => {
		const canvas = figure.querySelector("canvas");
		const { data } = canvas.getContext("2d").getImageData(0, 0, canvas.width, canvas.height);
		let coloured = 0;
		for (let i = 0; i < data.length; i += 4) {
			const [r, g, b] = data.subarray(i, i + 3);
			if (data[i + 3] > 40 && Math.max(r, g, b) - Math.min(r, g, b) > 60) coloured++;
		}
		return { plot: figure.dataset.plot, points: Number(figure.dataset.cells ?? figure.dataset.points), coloured };
	});
}

/** In an empty page: mean brightness of a screenshot, 0 to 255, and how many of its pixels are not the commonest colour. */
async function pixels(png) {
	const image = new Image();
	image.src = `data:image/png;base64,${png}`;
	await image.decode();
	const canvas = document.createElement("canvas");
	[canvas.width, canvas.height] = [image.width, image.height];
	const context = canvas.getContext("2d");
	context.drawImage(image, 0, 0);
	const { data } = context.getImageData(0, 0, canvas.width, canvas.height);
	const colours = new Map();
	let light = 0;
	for (let i = 0; i < data.length; i += 4) {
		const colour = (data[i] << 16) | (data[i + 1] << 8) | data[i + 2];
		colours.set(colour, (colours.get(colour) ?? 0) + 1);
		light += (data[i] + data[i + 1] + data[i + 2]) / 3;
	}
	const count = data.length / 4;
	return { brightness: light / count, other: 1 - Math.max(...colours.values()) / count, colours: colours.size };
}

/** Opens a report and waits until every plot is drawn; complaints and requests of the page are collected. */
async function open(browser, path, viewport, colorScheme) {
	const page = await browser.newPage({ viewport, colorScheme });
	const seen = { complaints: [], requests: [] };
	page.on("console", (message) => ["error", "warning"].includes(message.type()) && seen.complaints.push(message.text()));
	page.on("pageerror", (error) => seen.complaints.push(String(error)));
	page.on("request", (request) => seen.requests.push(request.url().slice(0, 100)));
	await page.goto(pathToFileURL(path).href);
	await page.waitForFunction(() => document.querySelectorAll("figure").length > 0 && [...document.querySelectorAll("figure")].every((figure) => figure.dataset.points));
	return { page, seen };
}

async function look(browser, path, plots, colorScheme) {
	const { page, seen } = await open(browser, path, DESK, colorScheme);
	const found = await page.evaluate(drawn);
	assert.deepEqual(found.map(({ plot }) => plot).sort(), [...plots].sort());
	assert.deepEqual(found.filter(({ points, coloured }) => !(points > 0) || coloured < 50), []);
	const blank = await browser.newPage();
	const { brightness, other, colours } = await blank.evaluate(pixels, (await page.screenshot({ fullPage: true })).toString("base64"));
	assert.ok(other > 0.02 && colours > 20, `${other} of the pixels differ, ${colours} colours`);
	assert.ok(colorScheme === "dark" ? brightness < 80 : brightness > 200, `brightness ${brightness}`);
	assert.deepEqual(seen, { complaints: [], requests: [pathToFileURL(path).href] });
	return page;
}

async function useKeys(browser, path) {
	const { page, seen } = await open(browser, path, DESK, "light");
	const plot = page.locator('[data-plot="hit-rate"] > [tabindex="0"]');
	const at = () => page.locator('[data-plot="hit-rate"] .u-value').first().textContent();
	await plot.focus();
	assert.equal(await at(), "-");
	await page.keyboard.press("End");
	const end = await at();
	await page.keyboard.press("ArrowLeft");
	const before = await at();
	assert.match(end, /^[\d.]+ s$/);
	assert.ok(Number.parseFloat(before) < Number.parseFloat(end), `${before}, ${end}`);
	const bounds = () => page.locator('[data-plot="hit-rate"] canvas').evaluate((canvas) => canvas.toDataURL());
	const whole = await bounds();
	await page.keyboard.press("+");
	await page.waitForTimeout(100);
	assert.notEqual(await bounds(), whole);
	await page.keyboard.press("Escape");
	await page.waitForTimeout(100);
	assert.equal(await bounds(), whole);
	await page.locator('[data-plot="address-map"] > [tabindex="0"]').focus();
	await page.keyboard.press("Home");
	await page.keyboard.press("ArrowDown");
	assert.match(await page.locator("#address-map output").textContent(), /^[\d.]+ s, 0x[0-9a-f]+: (?:not )?mapped, /);
	const head = page.locator('[data-plot="hit-rate"] .u-series').nth(1);
	await head.locator("th").focus();
	await page.keyboard.press("Enter");
	assert.match(await head.getAttribute("class"), /u-off/);
	assert.deepEqual(seen.complaints, []);
}

async function useTables(browser, path) {
	const { page, seen } = await open(browser, path, DESK, "light");
	const details = page.locator("main details");
	for (const one of await details.all()) await one.locator("summary").click();
	await page.waitForFunction(() => [...document.querySelectorAll("main details")].every((one) => one.querySelectorAll("tbody tr").length > 0));
	const devices = await page.locator("#devices tbody tr td:first-child").allTextContents();
	assert.ok(devices.includes("0000:00:01.0"), devices.join());
	assert.deepEqual(seen.complaints, []);
}

async function onPhone(browser, path) {
	const { page, seen } = await open(browser, path, PHONE, "light");
	assert.ok((await page.evaluate(() => document.documentElement.scrollWidth)) <= PHONE.width);
	const widths = await page.locator("figure canvas").evaluateAll((all) => all.map((canvas) => canvas.getBoundingClientRect().right));
	assert.deepEqual(widths.filter((right) => right > PHONE.width), []);
	assert.deepEqual((await page.evaluate(drawn)).filter(({ coloured }) => coloured < 50), []);
	assert.deepEqual(seen.complaints, []);
}

/** Writes reports with the package's own command and looks at them. */
export async function reportChecks(check, { directory, executablePath, args }) {
	const bin = join(directory, "node_modules/.bin/ioasid");
	for (const report of REPORTS) {
		report.path = join(directory, `${report.name}.html`);
		await check(`ioasid replay --report (${report.name})`, () => {
			run(bin, ["replay", ...report.files.map((file) => join(traces, file)), "--report", report.path], directory);
			assert.ok(statSync(report.path).size < 5e6);
		});
	}
	const browser = await chromium.launch({ executablePath, args });
	try {
		for (const { name, path, plots } of REPORTS) {
			for (const scheme of ["light", "dark"]) {
				await check(`the report (${name}) draws every plot, ${scheme}`, async () => {
					const page = await look(browser, path, plots, scheme);
					await page.locator("#theme").click();
					const back = await page.evaluate(() => getComputedStyle(document.body).backgroundColor);
					assert.equal(back, scheme === "light" ? "rgb(18, 22, 27)" : "rgb(255, 255, 255)");
				});
			}
		}
		const [{ path }, { path: faults }] = REPORTS;
		await check("the report is used by keys", () => useKeys(browser, path));
		await check("every number of the report is in a table", () => useTables(browser, faults));
		await check("the report fits a phone", () => onPhone(browser, faults));
	} finally {
		await browser.close();
	}
}
