// A browser for the tests of the map page, and what they look for in a page.

import { chromium } from "playwright-core";
import { inflateSync } from "node:zlib";
import { HANG_MS, Herd, atEnd, until } from "./servers.mjs";

export const browser = await chromium.launch({ executablePath: process.env.CHROMIUM ?? "/usr/bin/chromium", args: ["--no-sandbox"] });

/** One real server with nobody, for one test; more of them with `names` and `links`. */
export async function herd(test, wishes) {
    const all = await Herd.in(test, wishes);
    await all.start();
    return all.servers.values().next().value;
}

/**
 * A page in a browser of its own. At its end there must have been no error and no request to another origin.
 * `mayFail` is what the console may say, for a test that breaks something; `mayAsk` another origin.
 */
export async function open(test, url, { mayFail, mayAsk, hash = "", context, prepare, ...settings } = {}) {
    const own = context ?? (await browser.newContext({ viewport: { width: 1280, height: 800 }, ...settings }));
    own.setDefaultTimeout(HANG_MS);
    await prepare?.(own);
    const page = await own.newPage();
    const faults = [];
    const isOurs = (address) => address.startsWith("data:") || [url, mayAsk].some((origin) => origin && address.startsWith(origin));
    page.on("console", (message) => ["error", "warning"].includes(message.type()) && !mayFail?.test(message.text()) && faults.push(`${message.text()} (${message.location().url})`));
    page.on("pageerror", (error) => faults.push(error.stack));
    page.on("request", (request) => !isOurs(request.url()) && faults.push(`asks ${request.url()}`));
    atEnd(test, async () => {
        await own.close();
        if (faults.length) throw new Error(faults.join("\n"));
    });
    await page.goto(url + "/" + hash);
    return page;
}

export const state = (page) => page.locator("#state-words");

/** Waits until the page says that it is live. */
export const live = (page) => until(async () => (await state(page).textContent()) === "live");

/** Every word of the state from now on, as some of them stand there only for a moment. */
export async function statesOf(page) {
    await page.evaluate(() => {
        const words = document.getElementById("state-words");
        globalThis.states = [words.textContent];
        new MutationObserver(() => globalThis.states.push(words.textContent)).observe(words, { childList: true, characterData: true, subtree: true });
    });
    const all = () => page.evaluate(() => globalThis.states);
    return { all, include: (pattern) => until(async () => (await all()).some((words) => pattern.test(words))) };
}

export const row = (page, id) => page.locator(`#rows tr[data-id=${JSON.stringify(id)}]`);

export const count = (page) => page.evaluate(() => globalThis.herd.fleet.count);

export const view = (page) => page.evaluate(() => (({ x, y, zoom }) => ({ x, y, zoom }))(globalThis.herd.map.view));

/** Where a client is on the map's picture, in its pixels. */
export const spot = (page, id) =>
    page.evaluate((name) => {
        const { fleet, map } = globalThis.herd;
        const slot = fleet.slotOf(name);
        return slot === undefined ? null : { x: map.view.left(fleet.x[slot]), y: map.view.top(fleet.y[slot]) };
    }, id);

/** The map has come to rest: no glide moves it any more. */
export async function rest(page) {
    let before;
    await until(async () => {
        const now = JSON.stringify(await view(page));
        const isSame = now === before;
        before = now;
        await page.waitForTimeout(300);
        return isSame;
    });
}

export async function clickOn(page, id) {
    const { x, y } = await spot(page, id);
    await page.locator("#dots").click({ position: { x, y } });
}

/** Red, green and blue of one pixel, as it is seen: a picture of a page, whose one row has a byte before its pixels. */
export async function pixel(page, x, y) {
    const png = await page.screenshot({ clip: { x, y, width: 1, height: 1 } });
    const parts = [];
    for (let at = 8; at < png.length; at += 12 + png.readUInt32BE(at)) {
        if (png.toString("latin1", at + 4, at + 8) === "IDAT") parts.push(png.subarray(at + 8, at + 8 + png.readUInt32BE(at)));
    }
    return [...inflateSync(Buffer.concat(parts))].slice(1, 4);
}

/** Frames a second in which clients are drawn, over some seconds. */
export const framesPerSecond = (page, seconds) =>
    page.evaluate(async (ms) => {
        const [frames, start] = [globalThis.herd.map.frames, performance.now()];
        await new Promise((done) => setTimeout(done, ms));
        return ((globalThis.herd.map.frames - frames) * 1_000) / (performance.now() - start);
    }, seconds * 1_000);
