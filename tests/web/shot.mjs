// Takes the picture of the README: `node tests/web/shot.mjs ADDRESS FILE`, with the address that
// `dapple demo` prints. It shows the rule that is stuck on purpose.
import { chromium } from "playwright-core";

const [address, file] = process.argv.slice(2);
const executablePath = process.env.CHROMIUM ?? "/usr/bin/chromium";
const browser = await chromium.launch({ executablePath, args: ["--no-sandbox"] });
const page = await browser.newPage({ viewport: { width: 1100, height: 900 }, colorScheme: "light" });
await page.goto(address);
await page.getByRole("region", { name: "What is in the way" }).getByRole("link").first().click();
await page.getByRole("heading", { level: 1, name: "climate:era5" }).waitFor();
await page.screenshot({ path: file });
await browser.close();
