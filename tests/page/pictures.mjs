// Takes the pictures of the map page that docs/ has: `npm run pictures`. Five real servers, and clients that drive about.

import { atEnd, drive, until } from "./servers.mjs";
import { browser, count, herd, live, open, rest, row } from "./harness.mjs";
import { fileURLToPath } from "node:url";

const DOCS = fileURLToPath(new URL("../../docs/", import.meta.url));
const SIZE = { viewport: { width: 1080, height: 640 } };
const NAMES = ["Goloman", "Hands", "Holiday", "Welsh", "Wilkes"];
const LINKS = [["Goloman", "Hands"], ["Goloman", "Holiday"], ["Goloman", "Wilkes"], ["Hands", "Wilkes"], ["Holiday", "Welsh"], ["Holiday", "Wilkes"]];
const CLIENTS = 400;

const ends = [];
const test = { after: (/** @type {() => unknown} */ deed) => ends.push(deed) };
const server = await herd(test, { names: NAMES, links: LINKS, settings: 'data_dir = "data"' });
const driving = await drive([...server.herd.servers.values()], CLIENTS, 0.5);
atEnd(test, driving.stop);

for (const scheme of /** @type {const} */ (["light", "dark"])) {
    const page = await open(test, server.url, { ...SIZE, colorScheme: scheme });
    await until(async () => (await count(page)) === CLIENTS);
    await live(page);
    await page.locator("#filter").fill("car-7");
    await row(page, "car-7").click();
    await page.locator("#filter").fill("");
    if (scheme === "dark") await page.getByRole("tab", { name: "Herd" }).click();
    await page.locator("#fit-all").click();
    // For a trail.
    await page.waitForTimeout(12_000);
    await rest(page);
    await page.screenshot({ path: `${DOCS}map-${scheme}.png` });
    await page.context().close();
}
for (const end of ends) await end();
await browser.close();
