// The map page in a real browser, with real servers: map, table, lists. Each test is a sentence that says what holds. No
// time in it is tighter than a hang: how fast things are is measured by figures.mjs.

import assert from "node:assert/strict";
import test, { after } from "node:test";
import { Between, tileServer } from "./between.mjs";
import { browser, clickOn, count, herd, live, open, pixel, rest, row, spot, view } from "./harness.mjs";
import { HANG_MS, atEnd, drive, until } from "./servers.mjs";
import { execFile } from "node:child_process";
import { fileURLToPath } from "node:url";
import { promisify } from "node:util";
import { readFileSync } from "node:fs";

const axe = readFileSync(new URL(import.meta.resolve("axe-core/axe.min.js")), "utf8");

after(() => browser.close());

test("the first positions come to the table and the map", async (t) => {
    const server = await herd(t);
    await server.report("kiwi", 34.06893, -118.445127);
    const page = await open(t, server.url);
    await row(page, "kiwi").waitFor();
    await page.waitForFunction(() => globalThis.herd.map.frames > 1);
});

test("a client that moves, moves on the map and in the table", async (t) => {
    const server = await herd(t);
    await server.report("kiwi", 10, 20);
    const page = await open(t, server.url);
    await row(page, "kiwi").getByText("10.0000, 20.0000").waitFor();
    await server.report("kiwi", 11.5, 21.25);
    await row(page, "kiwi").getByText("11.5000, 21.2500").waitFor();
});

test("a client that the herd forgets is gone", async (t) => {
    const server = await herd(t);
    await server.report("kiwi", 10, 20);
    await server.report("emu", 10, 21);
    const page = await open(t, server.url);
    await row(page, "kiwi").waitFor();
    await server.herd.run("--forget", "kiwi");
    await row(page, "kiwi").waitFor({ state: "detached" });
    await row(page, "emu").waitFor();
});

test("the filter leaves out others in the table and on the map, and who comes later", async (t) => {
    const server = await herd(t);
    await server.report("kiwi", 10, 20);
    await server.report("emu", 12, 20);
    const page = await open(t, server.url);
    await row(page, "emu").waitFor();
    await page.locator("#filter").fill("KIW");
    await row(page, "emu").waitFor({ state: "detached" });
    await server.report("emu-2", 12, 21);
    await until(async () => (await count(page)) >= 3);
    assert.deepEqual(await page.evaluate(() => ["kiwi", "emu", "emu-2"].map((id) => globalThis.herd.fleet.hidden[globalThis.herd.fleet.slotOf(id)])), [0, 1, 1]);
    await page.locator("#show-all").click();
    await row(page, "emu").waitFor();
});

test("a client that is not heard of for long looks old, and stays", async (t) => {
    const server = await herd(t);
    await server.report("kiwi", 10, 20);
    const page = await open(t, server.url, { prepare: (context) => context.clock.install() });
    await row(page, "kiwi").waitFor();
    const colours = new Set();
    for (const [ahead, kind] of [["00:01", "fresh"], ["06:00", "stale"], ["01:00:00", "old"]]) {
        await page.clock.fastForward(ahead);
        await until(async () => (await row(page, "kiwi").getAttribute("class")) === kind);
        colours.add(await row(page, "kiwi").locator("td").first().evaluate((cell) => getComputedStyle(cell).color));
    }
    assert.equal(colours.size, 3, [...colours].join());
    await row(page, "kiwi").getByText("1 h ago").waitFor();
});

test("a filter stands in the address, and a link with it filters", async (t) => {
    const server = await herd(t);
    await server.report("kiwi", 10, 20);
    await server.report("emu", 12, 20);
    const page = await open(t, server.url, { hash: "#filter=emu" });
    await row(page, "emu").waitFor();
    assert.equal(await page.locator("#rows tr").count(), 1);
    await row(page, "emu").click();
    assert.match(page.url(), /#filter=emu&client=emu$/);
    await page.locator("#filter").fill("kiw");
    await row(page, "kiwi").waitFor();
    assert.match(page.url(), /#filter=kiw&client=emu$/);
    await page.locator("#show-all").click();
    assert.match(page.url(), /#client=emu$/);
    await row(page, "emu").waitFor();
});

test("the table lists whom the map shows, if one wants that", async (t) => {
    const server = await herd(t);
    await server.report("kiwi", 10, 20);
    await server.report("emu", 12, 60);
    const page = await open(t, server.url);
    await row(page, "emu").waitFor();
    await rest(page);
    await page.getByLabel("On the map only").check();
    assert.equal(await page.locator("#rows tr").count(), 2);
    await row(page, "kiwi").click();
    await row(page, "emu").waitFor({ state: "detached" });
    await page.locator("#found", { hasText: "1 of 2 clients" }).waitFor();
    await server.report("emu", 10, 20.01);
    await page.locator("#dots").focus();
    await row(page, "emu").waitFor();
    await page.locator("#show-all").click();
    assert.ok(!(await page.getByLabel("On the map only").isChecked()));
});

test("a herd over the date line is shown together", async (t) => {
    const server = await herd(t);
    await server.report("suva", -18.14, 178.44);
    await server.report("apia", -13.83, -171.76);
    const page = await open(t, server.url);
    await row(page, "apia").waitFor();
    await rest(page);
    const [suva, apia] = [await spot(page, "suva"), await spot(page, "apia")];
    assert.ok((await view(page)).zoom > 4);
    assert.ok(suva.x < apia.x);
    assert.ok(apia.y < suva.y);
});

test("clients at the poles stand at the edge of the map", async (t) => {
    const server = await herd(t);
    await server.report("north", 90, 0);
    await server.report("south", -89.9, 10);
    await server.report("middle", 0, 5);
    const page = await open(t, server.url);
    await row(page, "north").waitFor();
    await rest(page);
    const [north, south] = [await spot(page, "north"), await spot(page, "south")];
    assert.ok(Number.isFinite(north.y) && north.y > -1 && north.y < south.y);
    await row(page, "north").getByText("90.0000, 0.0000").waitFor();
});

test("whom one clicks is followed, with a link, and the map is not moved by it", async (t) => {
    const server = await herd(t);
    await server.report("kiwi", 10, 20);
    await server.report("emu", 12, 40);
    const page = await open(t, server.url);
    await row(page, "emu").waitFor();
    await rest(page);
    await clickOn(page, "kiwi");
    await page.locator("#card-name", { hasText: "kiwi" }).waitFor();
    assert.match(page.url(), /#client=kiwi$/);
    const before = await view(page);
    await server.report("kiwi", 50, 120);
    await page.locator("#card-place", { hasText: "50.00000° N" }).waitFor();
    assert.deepEqual(await view(page), before);
    await page.getByRole("button", { name: "Centre" }).click();
    await rest(page);
    assert.ok((await view(page)).x > 0.8);
});

test("a link to one client opens the page at that client", async (t) => {
    const server = await herd(t);
    await server.report("kiwi/1#2 3", 10, 20);
    await server.report("emu", 12, 40);
    const page = await open(t, server.url, { hash: "#client=kiwi%252F1%232%25203" });
    await page.locator("#card-name", { hasText: "kiwi%2F1#2%203" }).waitFor();
    await rest(page);
    const { x, y, zoom } = await view(page);
    assert.ok(zoom >= 10 && Math.abs(x - (20 / 360 + 0.5)) < 1e-6 && y < 0.5);
});

test("a number on the map opens the list of those who stand there", async (t) => {
    const server = await herd(t);
    for (let at = 0; at < 7; at++) await server.report(`kiwi-${at}`, 10, 20);
    await server.report("emu", 12, 100);
    const page = await open(t, server.url);
    await row(page, "emu").waitFor();
    await rest(page);
    await clickOn(page, "kiwi-3");
    await page.getByText("7 clients at this spot").waitFor();
    assert.equal(await page.locator("#rows tr").count(), 7);
});

/** How many pixels of each of these colours of the style sheet are on the map around a client. */
const coloursAt = (page, id, names) =>
    page.evaluate(([client, wanted]) => {
        const { fleet, map } = globalThis.herd;
        const [slot, canvas, style] = [fleet.slotOf(client), document.getElementById("dots"), getComputedStyle(document.documentElement)];
        const [left, top] = [map.view.left(fleet.x[slot]), map.view.top(fleet.y[slot])].map(Math.round);
        const copy = new OffscreenCanvas(60, 60).getContext("2d", { willReadFrequently: true });
        copy.drawImage(canvas, 30 - left, 30 - top);
        const { data } = copy.getImageData(0, 0, 60, 60);
        const amount = (colour) => {
            const parts = [1, 3, 5].map((at) => parseInt(colour.slice(at, at + 2), 16));
            let found = 0;
            for (let at = 0; at < data.length; at += 4) if (data[at + 3] === 255 && parts.every((part, channel) => Math.abs(part - data[at + channel]) < 12)) found++;
            return found;
        };
        return Object.fromEntries(wanted.map((name) => [name, amount(style.getPropertyValue(`--${name}`).trim())]));
    }, [id, names]);

test("a group is drawn as the newest of it, and says how many of it are stale", async (t) => {
    const server = await herd(t);
    for (let at = 0; at < 8; at++) await server.report(`kiwi-${at}`, 10, 20);
    await server.report("emu", 12, 100);
    const page = await open(t, server.url, { prepare: (context) => context.clock.install() });
    await row(page, "emu").waitFor();
    await rest(page);
    const are = (wanted) => until(async () => wanted(await coloursAt(page, "kiwi-0", ["crowd", "stale", "old"])));
    await are(({ crowd, stale, old }) => crowd > 100 && !stale && !old);
    // Half of them were heard ten minutes ago.
    await page.evaluate(() => [0, 1, 2, 3].forEach((at) => (globalThis.herd.fleet.received[globalThis.herd.fleet.slotOf(`kiwi-${at}`)] -= 600)));
    await are(({ crowd, stale, old }) => crowd > 100 && stale > 20 && !old);
    await page.clock.fastForward("06:00");
    await are(({ crowd, stale, old }) => !crowd && stale > 60 && !old);
    await page.clock.fastForward("01:00:00");
    await are(({ crowd, stale, old }) => !crowd && !stale && old > 60);
});

test("two clients at one spot are a number, and a click on it lists them", async (t) => {
    const server = await herd(t);
    for (const id of ["kiwi-1", "kiwi-2"]) await server.report(id, 10, 20);
    await server.report("emu", 12, 100);
    const page = await open(t, server.url);
    await row(page, "emu").waitFor();
    await rest(page);
    // A group is larger than a dot.
    await until(async () => (await coloursAt(page, "kiwi-1", ["crowd"])).crowd > 200);
    await clickOn(page, "kiwi-1");
    await page.getByText("2 clients at this spot").waitFor();
    await page.locator("#clusters").uncheck();
    await until(async () => (await coloursAt(page, "kiwi-1", ["crowd"])).crowd < 100);
});

test("places near a point and near a client are listed beside the map", async (t) => {
    const server = await herd(t);
    await server.report("kiwi", 34.06893, -118.445127);
    await server.report("emu", 34.1083, -117.2898);
    const page = await open(t, server.url);
    await row(page, "kiwi").waitFor();
    await rest(page);
    const { width, height } = await page.locator("#dots").boundingBox();
    await page.locator("#dots").click({ position: { x: width / 2, y: height / 2 } });
    await page.locator("#places-list li").first().waitFor();
    await clickOn(page, "kiwi");
    await page.getByRole("button", { name: "Nearby" }).click();
    await page.getByRole("heading", { name: "Near kiwi" }).waitFor();
    await page.locator("#places-list a", { hasText: "Beverly Hills" }).waitFor();
    const link = page.locator("#places-list a").first();
    assert.match(await link.getAttribute("href"), /^https:\/\/www\.google\.com\/maps\/search\/\?api=1&query=3/);
    assert.equal(await link.getAttribute("rel"), "noreferrer");
    await page.locator("#places-attributions", { hasText: "GeoNames" }).waitFor();
});

test("a click on a client follows it and lists what is near it, by its own route, and a row only follows", async (t) => {
    const server = await herd(t);
    const between = await Between.of(t, server.url);
    await server.report("kiwi/1", 34.06893, -118.445127);
    await server.report("emu", 36.1083, -117.2898);
    const page = await open(t, between.url, { mayFail: /404/ });
    await row(page, "emu").waitFor();
    await rest(page);
    await clickOn(page, "kiwi%2F1");
    await page.locator("#card-name", { hasText: "kiwi%2F1" }).waitFor();
    await page.getByRole("heading", { name: "Near kiwi%2F1" }).waitFor();
    await page.locator("#places-list a", { hasText: "Beverly Hills" }).waitFor();
    const asked = () => between.asked.findLast((request) => request.includes("/places?"));
    assert.match(asked(), /^GET \/v1\/clients\/kiwi%252F1\/places\?radius_km=10&bound=20/);
    await page.getByLabel("Radius").selectOption("1");
    await until(() => asked().includes("/kiwi%252F1/places?radius_km=1&"));
    await page.getByRole("tab", { name: "Clients" }).click();
    await row(page, "emu").click();
    await page.locator("#card-name", { hasText: "emu" }).waitFor();
    assert.ok(await page.locator("#list-clients").isVisible());
    // Of whom the herd has forgotten meanwhile nothing is near.
    await server.herd.run("--forget", "emu");
    await until(async () => (await count(page)) === 1);
    await page.evaluate(() => globalThis.herd.fleet.set({ id: "emu", lat: 36, lon: -117, time: "1", received: 1, server: "Goloman" }, 0));
    await page.getByRole("button", { name: "Nearby" }).click();
    await page.getByText("That did not work: no client of this ID has reported to the herd, or it is forgotten.").waitFor();
});

test("all can be done with the keyboard alone", async (t) => {
    const server = await herd(t);
    await server.report("kiwi", 51.5, -0.1);
    await server.report("emu", 51.5, 40);
    const page = await open(t, server.url);
    await row(page, "emu").waitFor();
    await rest(page);
    await page.keyboard.press("Tab");
    assert.equal(await page.evaluate(() => document.activeElement.id), "dots");
    const whole = await view(page);
    await page.keyboard.press("+");
    await page.keyboard.press("ArrowRight");
    await rest(page);
    const moved = await view(page);
    assert.ok(moved.zoom > whole.zoom + 0.9 && moved.x > whole.x);
    await page.keyboard.press("-");
    await page.keyboard.press("Home");
    await rest(page);
    assert.ok(Math.abs((await view(page)).zoom - whole.zoom) < 1e-6);
    // A single letter is a shortcut on the map alone.
    await page.locator("#zoom-in").focus();
    await page.keyboard.press("/");
    assert.equal(await page.evaluate(() => document.activeElement.id), "zoom-in");
    await page.locator("#dots").focus();
    await page.keyboard.press("/");
    await page.keyboard.type("kiw");
    await page.keyboard.press("Enter");
    await page.locator("#card-name", { hasText: "kiwi" }).waitFor();
    await page.keyboard.press("Escape");
    await row(page, "emu").waitFor();
    await page.locator("#dots").focus();
    await rest(page);
    await page.keyboard.press("Enter");
    await page.locator("#places-list li").first().waitFor();
    await page.locator("#tab-places").focus();
    await page.keyboard.press("ArrowRight");
    await page.locator("#list-herd").waitFor();
});

test("a phone shows positions in its table, too", async (t) => {
    const server = await herd(t);
    await server.report("a-van-with-a-rather-long-name-0123456789", -54.123456, -178.987654);
    const page = await open(t, server.url, { viewport: { width: 360, height: 700 }, hasTouch: true, isMobile: true });
    const place = row(page, "a-van-with-a-rather-long-name-0123456789").getByText("-54.1235, -178.9877");
    await place.waitFor();
    for (const cell of await page.locator("#rows td, #table-area thead th").all()) {
        const { x, width } = await cell.boundingBox();
        assert.ok(x >= 0 && x + width <= 360, await cell.textContent());
    }
});

for (const [width, height] of [[320, 568], [360, 640], [640, 400]]) {
    test(`no head of the table breaks inside a word, and the hint of the filter is whole, ${width} by ${height}`, async (t) => {
        const server = await herd(t);
        for (const id of ["paris", "x".repeat(300)]) await server.report(id, 10, -179.9);
        const page = await open(t, server.url, { viewport: { width, height }, hasTouch: true, isMobile: true });
        await row(page, "paris").waitFor();
        for (const head of ["Client", "Heard", "Position", "Server"]) {
            const button = page.locator("#table-area thead button", { hasText: head });
            await button.click();
            const lines = await button.evaluate((one) => {
                const range = document.createRange();
                range.selectNodeContents(one);
                return new Set([...range.getClientRects()].map(({ top }) => top)).size;
            });
            const box = await button.boundingBox();
            assert.ok(lines === 1 && box.x + box.width <= width, `${head}: ${lines} lines, to ${box.x + box.width}`);
        }
        assert.ok(await page.locator("#filter").evaluate((filter) => {
            const pen = document.createElement("canvas").getContext("2d");
            const { font, paddingLeft, paddingRight } = getComputedStyle(filter);
            pen.font = font;
            return pen.measureText(filter.placeholder).width <= filter.clientWidth - parseFloat(paddingLeft) - parseFloat(paddingRight);
        }));
    });
}

test("the table is sorted by its heads", async (t) => {
    const server = await herd(t);
    for (const [id, lat] of [["b", 3], ["a10", 1], ["a9", 2]]) await server.report(`sort-${id}`, lat, 1);
    const page = await open(t, server.url);
    await page.locator("#filter").fill("sort-");
    const ids = () => page.locator("#rows th").allTextContents();
    await until(async () => (await ids()).join() === "sort-a9,sort-a10,sort-b");
    await page.getByRole("button", { name: "Position" }).click();
    assert.deepEqual(await ids(), ["sort-b", "sort-a9", "sort-a10"]);
    assert.equal(await page.locator("th[data-column=place]").getAttribute("aria-sort"), "ascending");
});

test("while the focus is in the table its values go on, who is gone is marked, and the row with the focus stays", async (t) => {
    const server = await herd(t);
    for (const id of ["b", "d", "f"]) await server.report(id, 10, 20);
    const page = await open(t, server.url);
    await row(page, "f").waitFor();
    await row(page, "d").getByRole("button").focus();
    const names = () => page.locator("#rows th").allTextContents();
    const focused = () => page.evaluate(() => document.activeElement.textContent);
    await server.report("d", 11, 21);
    await server.report("f", 12, 22);
    await row(page, "d").getByText("11.0000, 21.0000").waitFor();
    await row(page, "f").getByText("12.0000, 22.0000").waitFor();
    await server.herd.run("--forget", "b");
    await server.herd.run("--forget", "d");
    await row(page, "b").getByText("gone", { exact: true }).waitFor();
    await row(page, "d").getByText("gone", { exact: true }).waitFor();
    await page.locator("#found", { hasText: /^1 client$/ }).waitFor();
    for (const id of ["a", "c"]) await server.report(id, 13, 23);
    // Others come and go after a while all the same, around the row with the focus.
    await until(async () => (await names()).join() === "a,d,c,f");
    assert.equal(await focused(), "d");
    await page.locator("#filter").focus();
    await until(async () => (await names()).join() === "a,c,f");
});

for (const [name, settings] of [
    ["desktop, light", {}],
    ["desktop, dark", { colorScheme: "dark" }],
    ["phone", { viewport: { width: 375, height: 700 }, hasTouch: true, isMobile: true, deviceScaleFactor: 2 }],
    ["phone on its side", { viewport: { width: 844, height: 390 }, hasTouch: true, isMobile: true }],
    ["small phone on its side", { viewport: { width: 640, height: 360 }, hasTouch: true, isMobile: true }],
    ["phone, dark, without motion", { viewport: { width: 375, height: 700 }, colorScheme: "dark", reducedMotion: "reduce" }],
]) {
    test(`axe finds nothing, nothing is cut off, and targets are 44 px: ${name}`, async (t) => {
        const server = await herd(t);
        for (let at = 0; at < 60; at++) await server.report(`kiwi-${at}`, at === 1 ? 51.5 : at - 30, at === 1 ? -0.1 : at * 3);
        const page = await open(t, server.url, settings);
        await row(page, "kiwi-1").waitFor();
        await row(page, "kiwi-1").click();
        await page.locator("#card").waitFor();
        // Somebody else is to be had, too, and the map is still there.
        await row(page, "kiwi-7").scrollIntoViewIfNeeded();
        const [seen, map] = [await row(page, "kiwi-7").evaluate((one) => {
            const { left, top, bottom, height } = one.getBoundingClientRect();
            return bottom <= innerHeight + 1 && height >= 44 && one.contains(document.elementFromPoint(left + 20, top + height / 2));
        }), await page.locator("#map").boundingBox()];
        assert.ok(seen && map.width >= 180 && map.height >= 180, JSON.stringify(map));
        // What is chosen, and what undoes it, are in one row.
        await page.locator("#filter").fill("kiwi-1");
        await page.locator("#show-all").waitFor();
        const tops = new Set(await page.locator(".found button").evaluateAll((all) => all.map((button) => button.getBoundingClientRect().top)));
        assert.equal(tops.size, 1);
        assert.ok((await page.locator(".found").boundingBox()).height < 60);
        await page.locator("#show-all").click();
        for (const tab of ["Clients", "Places", "Herd"]) {
            await page.getByRole("tab", { name: tab }).click();
            if (tab === "Places") {
                await page.getByRole("button", { name: "Nearby" }).click();
                await page.locator("#places-list li").first().waitFor();
            }
            await page.evaluate(axe);
            const { violations } = await page.evaluate(() => globalThis.axe.run());
            assert.deepEqual(violations.map(({ id, nodes }) => `${id}: ${nodes.map(({ html }) => html)}`), []);
            const small = await page.evaluate(() => [...document.querySelectorAll("button, select, input:not([type=checkbox]), label:has(input), #places-list a")]
                .filter((element) => element.checkVisibility()).map((element) => [element.outerHTML, element.getBoundingClientRect()])
                .filter(([, { width, height }]) => width < 44 || height < 44).map(([html]) => html));
            assert.deepEqual(small, []);
        }
        assert.ok(await page.evaluate(() => document.documentElement.scrollWidth <= innerWidth && document.documentElement.scrollHeight <= innerHeight));
    });
}



test("tiles of the user's own server are drawn, with their attribution, and no other origin is asked", async (t) => {
    const tiles = await tileServer(t);
    const attribution = '© <b>Example</b> "contributors"';
    const server = await herd(t, { tables: `[map]\ntiles = "${tiles.url}/{z}/{x}/{y}.png"\nattribution = ${JSON.stringify(attribution)}` });
    await server.report("suva", -18.14, 178.44);
    await server.report("apia", -13.83, -171.76);
    const page = await open(t, server.url, { mayAsk: tiles.url, mayFail: /Content Security Policy|Fetch API cannot load/ });
    await page.locator("#attribution", { hasText: attribution }).waitFor();
    await rest(page);
    // On both sides of the date line.
    const columns = () => new Set(tiles.paths.map((path) => /^\/7\/(\d+)/.exec(path)?.[1]));
    await until(() => columns().has("0") && columns().has("127"));
    await until(async () => {
        const [red, green, blue] = await pixel(page, 300, 200);
        return red > 200 && blue > 200 && green < 100;
    });
    const policy = async (path) => (await fetch(server.url + path, { headers: { Accept: "text/html" } })).headers.get("content-security-policy");
    assert.match(await policy("/"), new RegExp(`img-src 'self' data: ${tiles.url}$`));
    const script = /\/assets\/[^"]+main.js/.exec(await (await fetch(server.url, { headers: { Accept: "text/html" } })).text())[0];
    assert.ok(!(await policy(script)).includes(tiles.url));
    // The page cannot load anything else from there.
    assert.ok(await page.evaluate((url) => fetch(url).then(() => false, () => true), tiles.url));
});

test("without tiles the policy names no other origin", async (t) => {
    const server = await herd(t);
    const answer = await fetch(server.url, { headers: { Accept: "text/html" } });
    assert.ok(answer.headers.get("content-security-policy").endsWith("; img-src 'self' data:"));
});

test("the map is labelled with towns, or with the user's own places, and says whose they are", async (t) => {
    const labelsOf = (page) => page.evaluate(() => globalThis.herd.map.towns.map(({ name }) => name));
    const towns = await herd(t);
    await towns.report("kiwi", 51.5, -0.1);
    const first = await open(t, towns.url);
    await row(first, "kiwi").waitFor();
    await first.locator("#attribution", { hasText: "GeoNames" }).waitFor();
    await until(async () => (await labelsOf(first)).includes("London"));
    const places = "name,lat,lon\nDepot <1>,51.51,-0.11\nDepot 2,10,10\n";
    const own = await herd(t, { tables: '[places]\nprovider = "file"\npath = "places.csv"', files: { "places.csv": places } });
    await own.report("kiwi", 51.5, -0.1);
    const second = await open(t, own.url);
    await row(second, "kiwi").waitFor();
    await until(async () => (await labelsOf(second)).join() === "Depot <1>");
    assert.equal(await second.locator("#attribution").textContent(), "");
});

test("a town's name makes way for clients and their names", async (t) => {
    const server = await herd(t);
    // London's own name stood below it, where this one is now; Paris has room for none.
    await server.report("just-below-it", 51.44, -0.2);
    for (const [at, [lat, lon]] of [[48.8, 2.2], [48.95, 2.2], [48.855, 2.05], [48.855, 2.48]].entries()) await server.report(`paris-${at}`, lat, lon);
    await server.report("far", 46, -4);
    const page = await open(t, server.url);
    await row(page, "far").waitFor();
    await page.locator("#clusters").uncheck();
    await page.locator("#fit-all").click();
    await rest(page);
    const named = () => page.evaluate(() => globalThis.herd.map.named);
    await until(async () => (await named()).some(({ name }) => name === "London"));
    const london = (await named()).find(({ name }) => name === "London");
    const client = await spot(page, "just-below-it");
    assert.ok(Math.abs(london.top - client.y) >= 10 || london.left < client.x - 20, JSON.stringify([london, client]));
    assert.ok(!(await named()).some(({ name }) => name === "Paris"), JSON.stringify(await named()));
    await server.report("just-below-it", 46.2, -3);
    // Once it has gone elsewhere, the name comes back.
    for (let at = 0; at < 4; at++) await server.report(`paris-${at}`, 46 + at, -4);
    await until(async () => (await named()).some(({ name }) => name === "Paris"));
});

for (const colorScheme of ["light", "dark"]) {
    test(`forced colours leave the sign of the state and the marks of the legend: ${colorScheme}`, async (t) => {
        const server = await herd(t);
        await server.report("kiwi", 10, 20);
        const page = await open(t, server.url, { forcedColors: "active", colorScheme });
        await live(page);
        await page.getByRole("tab", { name: "Herd" }).click();
        for (const mark of ["#state .sign", ".fresh .mark", ".crowd .mark", ".pole .mark"]) {
            const { x, y, width, height } = await page.locator(mark).boundingBox();
            const [inside, outside] = [await pixel(page, x + width / 2, y + height - 3), await pixel(page, x + width + 4, y + height / 2)];
            assert.ok(inside.some((part, at) => Math.abs(part - outside[at]) > 60), `${mark}: ${inside} on ${outside}`);
        }
    });
}

/** Has a page note what is written on its two canvases: `written.ground` and `written.dots` are the last picture's texts. */
const noting = (context) =>
    context.addInitScript(() => {
        globalThis.written = { ground: [], dots: [] };
        const pen = CanvasRenderingContext2D.prototype;
        const { clearRect, fillRect, fillText } = pen;
        pen.clearRect = function (...box) {
            globalThis.written[this.canvas.id] = [];
            clearRect.apply(this, box);
        };
        pen.fillRect = function (...box) {
            if (this.canvas.id === "ground" && box[0] === 0 && box[2] > 100) globalThis.written.ground = [];
            fillRect.apply(this, box);
        };
        pen.fillText = function (text, left, top) {
            const width = this.measureText(text).width;
            const from = left - { left: 0, center: width / 2, right: width }[this.textAlign];
            globalThis.written[this.canvas.id]?.push({ text, from, to: from + width, top });
            fillText.call(this, text, left, top);
        };
    });

test("towns and degrees make way for each of many clients, at the poles, too", async (t) => {
    const server = await herd(t);
    const places = Array.from({ length: 400 }, (_, at) => [((at * 37) % 160) - 80, ((at * 83) % 360) - 180]);
    for (let at = 0; at < 30; at++) places.push([at % 2 ? 89 : -89, at * 12 - 180]);
    const sign = (value, digits) => `${value < 0 ? "-" : "+"}${String(Math.abs(value)).padStart(digits, "0")}.0`;
    await server.tell(places.map(([lat, lon], at) => `IAMAT van-${at} ${sign(lat, 2)}${sign(lon, 3)} ${Date.now() / 1_000}`));
    const page = await open(t, server.url, { prepare: noting });
    await until(async () => (await count(page)) === places.length);
    await page.locator("#clusters").uncheck();
    await until(() => page.evaluate(() => globalThis.herd.map.named.length > 3));
    await rest(page);
    const below = () => page.evaluate(() => {
        const { fleet, map } = globalThis.herd;
        const dots = fleet.ids.map((_, slot) => [map.view.left(fleet.x[slot]), map.view.top(fleet.y[slot]) + 11 * fleet.beyond[slot]]);
        return globalThis.written.ground.filter(({ from, to, top }) => dots.some(([x, y]) => x > from - 2 && x < to + 2 && Math.abs(y - top) < 7)).map(({ text }) => text);
    });
    assert.deepEqual(await below(), []);
    assert.ok(await page.evaluate(() => globalThis.herd.map.named.length > 3));
});

test("no name of a client is cut off at the edge of the map, and none turns its letters round", async (t) => {
    const server = await herd(t);
    await server.report("a-client-by-the-edge", 10, 20);
    await server.report("x\u202Eevil", 12, 40);
    const page = await open(t, server.url, { prepare: noting });
    await row(page, "a-client-by-the-edge").waitFor();
    await rest(page);
    const { width } = await page.locator("#dots").boundingBox();
    const name = (text) => page.evaluate((wanted) => globalThis.written.dots.find((one) => one.text === wanted), text);
    await until(() => name("x%E2%80%AEevil"));
    for (const follows of [false, true]) {
        if (follows) {
            await clickOn(page, "a-client-by-the-edge");
            await page.locator("#card").waitFor();
        }
        const { x } = await spot(page, "a-client-by-the-edge");
        await page.evaluate((right) => globalThis.herd.map.view.push(right, 0), width - 20 - x);
        await rest(page);
        const { from, to } = await name("a-client-by-the-edge");
        assert.ok(from >= 0 && to <= width - 20, `${from} to ${to} of ${width}`);
    }
});

test("on a phone a tap on the map has the list of places in sight, and whom one follows leaves room for others", async (t) => {
    const server = await herd(t);
    await server.report("kiwi", 34.06893, -118.445127);
    await server.report("emu", 34.1083, -117.2898);
    const page = await open(t, server.url, { viewport: { width: 360, height: 640 }, hasTouch: true, isMobile: true });
    const isSeen = (locator) => locator.evaluate((one) => {
        const { left, top, bottom } = one.getBoundingClientRect();
        return bottom <= innerHeight && one.contains(document.elementFromPoint(left + 20, (top + bottom) / 2));
    });
    await row(page, "kiwi").tap();
    await page.locator("#card").waitFor();
    await rest(page);
    assert.ok(await isSeen(row(page, "emu")));
    await page.locator("#dots").tap({ position: { x: 60, y: 60 } });
    await page.locator("#places-list li").first().waitFor();
    await until(() => isSeen(page.locator("#places-head")));
    await until(() => isSeen(page.locator("#places-list li").first()));
});

for (const [width, height] of [[320, 568], [360, 640], [640, 400]]) {
    test(`what lies over the map leaves most of it, ${width} by ${height}`, async (t) => {
        const server = await herd(t);
        await server.report("kiwi", 34.06893, -118.445127);
        const page = await open(t, server.url, { viewport: { width, height } });
        await page.locator("#attribution", { hasText: "GeoNames" }).waitFor();
        const [map, wishes, attribution, controls] = await Promise.all(["#map", "#wishes", "#attribution", ".controls"].map((part) => page.locator(part).boundingBox()));
        assert.ok(wishes.width <= map.width * 0.35, JSON.stringify([wishes, map]));
        assert.ok(attribution.height < 24, JSON.stringify(attribution));
        assert.ok(controls.y + controls.height <= wishes.y, JSON.stringify([controls, wishes]));
        await page.getByText("Options").click();
        await page.getByLabel("More names").check();
    });
}

test("names and times that a client makes up are shown as text", async (t) => {
    const server = await herd(t);
    const names = ["<img/src=x/onerror=alert(1)>", "__proto__", "x".repeat(500), "a/b%2Fc", "\u202Eabc", "🦘", Buffer.from([0xff, 0x41])];
    await server.tell(names.map((id, at) => Buffer.concat([Buffer.from("IAMAT "), Buffer.from(id), Buffer.from(` +${10 + at}+20 ${"9".repeat(30)}`)])));
    const page = await open(t, server.url);
    const ids = names.map((id) => (typeof id === "string" ? id : "%FFA"));
    for (const id of ids) await row(page, id).waitFor();
    for (const id of ids) {
        // Nothing turns a name round, and a long one ends in the table, which tells the whole one all the same.
        const whole = id.replace("\u202E", "%E2%80%AE");
        const button = page.getByRole("button", { name: whole, exact: true });
        assert.equal(await button.textContent(), whole.length > 48 ? `${whole.slice(0, 47)}…` : whole);
        await row(page, id).click();
        await until(async () => (await page.locator("#card-name").textContent()) === whole);
        await page.locator("#card-heard", { hasText: "9".repeat(30) }).waitFor();
        await page.getByRole("button", { name: "Nearby" }).click();
        await page.locator("#places-note", { hasText: /^$|no place/ }).waitFor({ state: "attached" });
        await page.getByRole("tab", { name: "Clients" }).click();
    }
    assert.ok(await page.evaluate(() => document.documentElement.scrollWidth <= innerWidth));
});

test("fingers push and pinch the map", async (t) => {
    const server = await herd(t);
    await server.report("kiwi", 10, 20);
    const page = await open(t, server.url, { viewport: { width: 375, height: 700 }, hasTouch: true, isMobile: true });
    await row(page, "kiwi").waitFor();
    await rest(page);
    const touch = await page.context().newCDPSession(page);
    const fingers = (type, ...points) => touch.send("Input.dispatchTouchEvent", { type, touchPoints: points.map(([x, y], id) => ({ x, y, id })) });
    const before = await view(page);
    await fingers("touchStart", [200, 200]);
    for (let step = 1; step < 6; step++) await fingers("touchMove", [200 - 10 * step, 200]);
    await fingers("touchEnd");
    const pushed = await view(page);
    assert.ok(pushed.x > before.x);
    await fingers("touchStart", [160, 200], [200, 200]);
    for (let step = 1; step < 6; step++) await fingers("touchMove", [160 - 8 * step, 200], [200 + 8 * step, 200]);
    await fingers("touchEnd");
    await page.locator("#dots").click({ trial: true });
    const pinched = await view(page);
    assert.ok(pinched.zoom < pushed.zoom + 3);
    assert.ok(pinched.zoom > pushed.zoom + 0.5 || pushed.zoom >= 18);
});

test("10,000 clients that move are all shown, and the page keeps up", async (t) => {
    const server = await herd(t);
    const driving = await drive([server], 10_000, 0.2);
    atEnd(t, () => driving.stop());
    const page = await open(t, server.url);
    await until(async () => (await count(page)) === 10_000);
    await live(page);
    const seen = await page.evaluate(() => globalThis.herd.map.view.zoom - globalThis.herd.map.view.zoomMin);
    assert.ok(seen < 0.6, "all of them are in sight, not only the first that came");
    for (const clusters of [true, false]) {
        await page.locator("#clusters").setChecked(clusters);
        const frames = await page.evaluate(() => globalThis.herd.map.frames);
        await page.waitForFunction((before) => globalThis.herd.map.frames > before + 5, frames);
    }
    await live(page);
});

test("the outlines in the program are what world.mjs makes, packed or not", async (t) => {
    await promisify(execFile)(process.execPath, [fileURLToPath(new URL("world.mjs", import.meta.url)), "--check"], { timeout: HANG_MS });
    const server = await herd(t);
    const page = await (await fetch(server.url, { headers: { Accept: "text/html" } })).text();
    const folder = /\/assets\/[0-9a-f]+\//.exec(page)[0];
    for (const name of ["world-110m.bin", "world-50m.bin"]) {
        const ask = (coding) => fetch(server.url + folder + name, { headers: { "Accept-Encoding": coding } });
        const [packed, plain] = [await ask("gzip"), await ask("identity")];
        assert.deepEqual([packed, plain].map((answer) => answer.headers.get("content-encoding")), ["gzip", null]);
        assert.ok(Buffer.from(await packed.arrayBuffer()).equals(Buffer.from(await plain.arrayBuffer())), name);
    }
});

test("everything of the page is at most 150 KB on the wire", async (t) => {
    const server = await herd(t);
    const between = await Between.of(t, server.url);
    await server.report("kiwi", 34.06893, -118.445127);
    await server.report("emu", 33, -117);
    const page = await open(t, between.url);
    await live(page);
    // The finer outline, too, which is asked for when one is near enough.
    await until(() => between.asked.some((request) => request.includes("world-50m.bin")));
    await rest(page);
    t.diagnostic(`${between.bytes} bytes, what the herd says among them`);
    assert.ok(between.bytes <= 150_000, `${between.bytes} bytes`);
});
