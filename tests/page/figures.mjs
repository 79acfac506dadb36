// How fast the map page is, measured with a real server and a real browser: `npm run figures`. Nothing is asserted.
// HERD_BIN=../../target/release/herd measures what users have.

import { HERD, atEnd, drive, until } from "./servers.mjs";
import { browser, count, framesPerSecond, herd, live, open } from "./harness.mjs";
import { availableParallelism, loadavg } from "node:os";

const LOADS = 7;
const CLIENTS = 10_000;
const SECONDS = 5;

/** A measurement ends what it has started, as a test does. @param {(test: {after: (deed: () => unknown) => void}) => unknown} deed */
async function measure(deed) {
    const ends = [];
    await deed({ after: (ending) => ends.push(ending) });
    await ends[0]?.();
}

console.log(`${HERD}, ${availableParallelism()} processors, load ${loadavg()[0].toFixed(1)}`);

/** Each load has an empty cache, and its own browser profile. */
async function firstPositions(test) {
    const server = await herd(test);
    await server.report("kiwi", 34.06893, -118.445127);
    const all = [];
    for (let load = 0; load < LOADS; load++) {
        const page = await open(test, server.url);
        all.push(await page.evaluate(async () => {
            while (!globalThis.herd?.fleet.count || globalThis.herd.map.frames < 2) await new Promise(requestAnimationFrame);
            return performance.now();
        }));
        await page.context().close();
    }
    all.sort((a, b) => a - b);
    console.log(`first positions: ${all.map((ms) => Math.round(ms)).join(", ")} ms, median ${Math.round(all[LOADS >> 1])} ms`);
}

/** @param {number} hz reports a second of each client */
async function frames(test, hz) {
    const server = await herd(test);
    const driving = await drive([server], CLIENTS, hz);
    atEnd(test, driving.stop);
    const page = await open(test, server.url);
    await until(async () => (await count(page)) === CLIENTS);
    await live(page);
    for (const isGrouped of [true, false]) {
        await page.locator("#clusters").setChecked(isGrouped);
        const [reported, start] = [driving.reported, performance.now()];
        const perSecond = await framesPerSecond(page, SECONDS);
        const rate = ((driving.reported - reported) * 1_000) / (performance.now() - start);
        console.log(`${CLIENTS} clients, ${Math.round(rate)} reports/s, ${isGrouped ? "grouped" : "one by one"}: ${perSecond.toFixed(0)} frames/s`);
    }
}

await measure(firstPositions);
for (const hz of [0.1, 1]) await measure((test) => frames(test, hz));
await browser.close();
