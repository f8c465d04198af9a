// The journey of a data manager, in a real browser: sign in, find the stuck rule, read what would help,
// do it, watch it become OK. Then every page is looked at by axe, in light and in dark colours.
//
// Told by variables: LAKE (address), KEY (an API key), STUCK and BORED (names of two stuck datasets, the
// second for a browser without scripts), PLACE (the endpoint to choose), CHROMIUM (the browser). Prints
// what it did; fails with what was not as it should be.
import { chromium } from "playwright-core";
import axe from "axe-core";
import assert from "node:assert/strict";

const { LAKE, KEY, STUCK, BORED, PLACE, CHROMIUM } = process.env;
const PATIENCE_MS = 20_000;
const browser = await chromium.launch({ executablePath: CHROMIUM, args: ["--no-sandbox"] });

/** A window that notes whatever leaves the lake or is complained about. */
async function open(options) {
  const context = await browser.newContext({ viewport: { width: 1200, height: 850 }, ...options });
  const page = await context.newPage();
  page.setDefaultTimeout(PATIENCE_MS);
  const complaints = [];
  page.on("request", (request) => {
    if (!request.url().startsWith(LAKE)) complaints.push(`asked ${request.url()}`);
  });
  page.on("console", (message) => {
    if (["error", "warning"].includes(message.type())) complaints.push(message.text());
  });
  page.on("pageerror", (error) => complaints.push(error.message));
  return { page, complaints, close: () => context.close() };
}

async function signIn(page) {
  await page.goto(LAKE);
  await page.getByRole("textbox", { name: "API key" }).fill(KEY);
  await page.getByRole("button", { name: "Sign in by key" }).click();
  await page.getByRole("heading", { level: 1, name: "Today" }).waitFor();
}

/** From Today to a stuck rule; what would help is pressed. */
async function help(page, dataset) {
  await page.getByRole("region", { name: "What is in the way" }).getByRole("link", { name: dataset }).click();
  await page.getByRole("heading", { level: 1, name: dataset }).waitFor();
  const summary = await page.locator("[data-said]").textContent();
  assert.match(summary, /stuck\s+no endpoint matches the expression/);
  const trouble = page.getByRole("region", { name: "What is in the way, and what would help" });
  assert.match(await trouble.textContent(), /dapple endpoint set NAME --attr /);
  await trouble.getByRole("combobox", { name: "Endpoint" }).selectOption(PLACE);
  await trouble.getByRole("button", { name: "Set it" }).click();
  await page.getByText("The attribute was changed.").waitFor();
}

async function withScripts() {
  const { page, complaints, close } = await open();
  await signIn(page);
  await help(page, STUCK);
  // Nothing is pressed or loaded again: the page tells by itself.
  await page.evaluate(() => { window.isTheSamePage = true; });
  await page.locator("#live .lead .state.ok").waitFor();
  assert.ok(await page.evaluate(() => window.isTheSamePage), "it was not loaded again");
  assert.match(await page.locator("[data-said]").textContent(), /ok\s+4 of 4 file copies are there/);
  assert.equal(await page.locator("#live[hx-get]").count(), 0, "it does not ask any more");
  await page.getByRole("button", { name: "Sign out" }).click();
  await page.getByText("You are signed out.").waitFor();
  await page.goto(`${LAKE}/rules`);
  await page.getByRole("heading", { level: 1, name: "Sign in" }).waitFor();
  assert.deepEqual(complaints, []);
  await close();
  console.log("the journey with scripts");
}

async function withoutScripts() {
  const { page, complaints, close } = await open({ javaScriptEnabled: false });
  await signIn(page);
  await help(page, BORED);
  const until = Date.now() + PATIENCE_MS;
  while ((await page.locator("#live .lead .state.ok").count()) === 0) {
    assert.ok(Date.now() < until, "it never became OK");
    await page.reload();
  }
  assert.deepEqual(complaints, []);
  await close();
  console.log("the journey without scripts");
}

async function looks(colorScheme, width) {
  const { page, complaints, close } = await open({ colorScheme, viewport: { width, height: 800 } });
  const findings = [];
  const look = async (where) => {
    await page.evaluate(axe.source);
    const { violations } = await page.evaluate(() => window.axe.run());
    const grave = violations.filter(({ impact }) => ["serious", "critical"].includes(impact));
    findings.push(...grave.map(({ id, nodes }) => `${where}: ${id} at ${nodes.map((node) => node.target)}`));
    const isWide = await page.evaluate(() => document.documentElement.scrollWidth > innerWidth);
    if (isWide) findings.push(`${where}: scrolls sideways at ${width}`);
  };
  await page.goto(LAKE);
  await look("sign-in");
  await signIn(page);
  await look("today");
  const [scope, dataset] = STUCK.split(":");
  const data = `/data/${scope}/${dataset}`;
  const paths = ["/rules", "/rules/new", "/endpoints", `/endpoints/${PLACE}`, "/data", `/data/${scope}`, data];
  for (const path of [...paths, `${data}/0`, "/search", "/search?text=run", "/transfers", "/accounts"]) {
    await page.goto(LAKE + path);
    await look(path);
  }
  await page.goto(`${LAKE}${data}/0`);
  await page.getByRole("button", { name: "Copy as" }).click();
  await page.getByRole("heading", { name: "Copy as" }).waitFor();
  await look("copy as");
  await page.goto(`${LAKE}/rules`);
  await page.getByRole("rowheader", { name: "s:never" }).getByRole("link").click();
  await page.getByRole("heading", { level: 1, name: "s:never" }).waitFor();
  await look("a stuck rule");
  assert.deepEqual(findings, []);
  assert.deepEqual(complaints, []);
  await close();
  console.log(`every page in ${colorScheme}, ${width} wide`);
}

try {
  await withScripts();
  await withoutScripts();
  await looks("light", 1200);
  await looks("dark", 390);
} finally {
  await browser.close();
}
