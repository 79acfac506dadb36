// A herd and a browser for the tests of the map page. The herd is the stand-in, or, with HERD_PAGE_URL, a real server at
// that address (with HERD_PAGE_TOKEN, if it wants one); what needs the server killed is skipped there.

import { StandIn } from "./stand-in.mjs";
import { chromium } from "playwright-core";

const REAL = process.env.HERD_PAGE_URL;
export const skip = REAL ? { skip: "a real server is not killed or changed" } : {};

export const browser = await chromium.launch({ executablePath: process.env.CHROMIUM ?? "/usr/bin/chromium", args: ["--no-sandbox"] });

/** A herd with nobody, for one test. */
export async function herd(test, settings) {
    const stand = REAL ? null : await new StandIn(settings).start();
    if (stand) test.after(() => stand.stop());
    const url = REAL ?? stand.url;
    const headers = process.env.HERD_PAGE_TOKEN ? { Authorization: `Bearer ${process.env.HERD_PAGE_TOKEN}` } : {};
    return {
        url,
        stand,
        async report(id, lat, lon) {
            const answer = await fetch(`${url}/v1/clients/${encodeURIComponent(id)}`, {
                method: "PUT",
                headers: { ...headers, "Content-Type": "application/json" },
                body: JSON.stringify({ lat, lon, time: (Date.now() / 1_000).toFixed(9) }),
            });
            if (!answer.ok) throw new Error(`${answer.status} ${await answer.text()}`);
        },
        async streams() {
            const text = await (await fetch(`${url}/metrics`, { headers })).text();
            return Number(/^herd_event_subscribers (\d+)/m.exec(text)?.[1]);
        },
    };
}

/**
 * A page in a browser of its own. At its end there must have been no error and no request to another origin.
 * `mayFail` is what the console may say, for a test that breaks something.
 */
export async function open(test, url, { mayFail, hash = "", context, ...settings } = {}) {
    const own = context ?? (await browser.newContext({ viewport: { width: 1280, height: 800 }, ...settings }));
    const page = await own.newPage();
    const faults = [];
    page.on("console", (message) => ["error", "warning"].includes(message.type()) && !mayFail?.test(message.text()) && faults.push(message.text()));
    page.on("pageerror", (error) => faults.push(error.stack));
    page.on("request", (request) => !request.url().startsWith(url) && !request.url().startsWith("data:") && faults.push(`asks ${request.url()}`));
    test.after(async () => {
        await own.close();
        if (faults.length) throw new Error(faults.join("\n"));
    });
    await page.goto(url + "/" + hash);
    return page;
}

/** Waits until a condition on this side holds. */
export async function until(holds, ms = 10_000) {
    for (const end = Date.now() + ms; ; await new Promise((done) => setTimeout(done, 20))) {
        if (await holds()) return;
        if (Date.now() > end) throw new Error(`did not come true: ${holds}`);
    }
}

export const state = (page) => page.locator("#state-words");

/** Where a client is on the map's picture, in its pixels. */
export const spot = (page, id) =>
    page.evaluate((name) => {
        const { fleet, map } = globalThis.herd;
        const slot = fleet.slotOf(name);
        return slot === undefined ? null : { x: map.view.left(fleet.x[slot]), y: map.view.top(fleet.y[slot]) };
    }, id);
