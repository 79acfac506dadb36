// Takes the pictures of the map page that docs/ has: `npm run pictures`. Five real servers, and clients that drive about.
// pngquant, where there is one, makes them small.

import { atEnd, drive, until } from "./servers.mjs";
import { browser, count, herd, live, open, rest, row } from "./harness.mjs";
import { execFileSync } from "node:child_process";
import { fileURLToPath } from "node:url";

const SIZE = { viewport: { width: 1040, height: 600 } };
const FIVE = {
    names: ["Goloman", "Hands", "Holiday", "Welsh", "Wilkes"],
    links: [["Goloman", "Hands"], ["Goloman", "Holiday"], ["Goloman", "Wilkes"], ["Hands", "Wilkes"], ["Holiday", "Welsh"], ["Holiday", "Wilkes"]],
    settings: 'data_dir = "data"',
};
const EUROPE = { south: 38, west: -8, north: 60, east: 28 };
const FOLLOWED = "van-7";

/** For a trail that one sees. */
const TRAIL_MS = 15_000;

/**
 * @param {"light" | "dark"} scheme
 * @param {number} clients
 * @param {object} way how they drive
 * @param {(page: import("playwright-core").Page) => Promise<void>} set
 */
async function picture(scheme, clients, way, set) {
    const ends = [];
    const test = { after: (/** @type {() => unknown} */ deed) => ends.push(deed) };
    const server = await herd(test, FIVE);
    const driving = await drive([...server.herd.servers.values()], clients, 1, { name: "van", ...way });
    atEnd(test, driving.stop);
    const page = await open(test, server.url, { ...SIZE, colorScheme: scheme });
    await until(async () => (await count(page)) === clients);
    await live(page);
    await page.locator("#filter").fill(FOLLOWED);
    await row(page, FOLLOWED).click();
    await page.locator("#filter").fill("");
    await page.waitForTimeout(TRAIL_MS);
    await set(page);
    await page.mouse.move(300, 5);
    await rest(page);
    const path = fileURLToPath(new URL(`../../docs/map-${scheme}.png`, import.meta.url));
    await page.screenshot({ path });
    try {
        execFileSync("pngquant", ["--force", "--nofs", "--strip", "--ext", ".png", "32", path]);
    } catch (why) {
        console.log(`${path} is as large as it came: ${why.message}`);
    }
    await ends[0]();
}

await picture("light", 36, { area: EUROPE, step: 0.12 }, async (page) => {
    await page.locator("#clusters").uncheck();
    await page.locator("#fit-all").click();
});
await picture("dark", 400, {}, async (page) => {
    await page.locator("#fit-all").click();
    await page.getByRole("tab", { name: "Herd" }).click();
});
await browser.close();
