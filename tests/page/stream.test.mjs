// The stream of the map page in a real browser, with real servers: tabs, breaks, sleep, restarts, tokens. Each test is a
// sentence that says what holds. No time in it is tighter than a hang.

import assert from "node:assert/strict";
import test, { after } from "node:test";
import { Between } from "./between.mjs";
import { browser, count, herd, live, open, row, state, statesOf } from "./harness.mjs";
import { join } from "node:path";
import { until } from "./servers.mjs";
import { writeFile } from "node:fs/promises";

/** What a browser says of a server that is away. */
const BROKEN = /ERR_|Failed to load/;
const FIVE = {
    names: ["Goloman", "Hands", "Holiday", "Welsh", "Wilkes"],
    links: [["Goloman", "Hands"], ["Goloman", "Holiday"], ["Goloman", "Wilkes"], ["Hands", "Wilkes"], ["Holiday", "Welsh"], ["Holiday", "Wilkes"]],
};

after(() => browser.close());

test("two tabs share one stream, and it goes on when one of them is closed", async (t) => {
    const server = await herd(t);
    await server.report("kiwi", 10, 20);
    const first = await open(t, server.url);
    await row(first, "kiwi").waitFor();
    const second = await first.context().newPage();
    await second.goto(server.url);
    await row(second, "kiwi").waitFor();
    assert.equal(await server.streams(), 1);
    await first.close();
    await server.report("kiwi", 15, 25);
    await row(second, "kiwi").getByText("15.0000, 25.0000").waitFor();
    assert.equal(await server.streams(), 1);
});

test("without shared workers two tabs share one stream by a lock", async (t) => {
    const server = await herd(t);
    await server.report("kiwi", 10, 20);
    const first = await open(t, server.url);
    const context = first.context();
    await first.close();
    await context.addInitScript(() => delete globalThis.SharedWorker);
    const [one, two] = [await context.newPage(), await context.newPage()];
    await one.goto(server.url);
    await row(one, "kiwi").waitFor();
    await two.goto(server.url);
    await row(two, "kiwi").waitFor();
    // A server notices that somebody has gone when it has something to say.
    const isOne = async () => {
        await server.report("emu", 1, 2);
        return (await server.streams()) === 1;
    };
    await until(isOne);
    await one.close();
    await until(isOne);
    await server.report("kiwi", 15, 25);
    await row(two, "kiwi").getByText("15.0000, 25.0000").waitFor();
});

test("a server that is killed and comes back with what it kept is caught up with", async (t) => {
    const server = await herd(t, { settings: 'data_dir = "data"' });
    await server.report("kiwi", 10, 20);
    await server.report("emu", 10, 21);
    const page = await open(t, server.url, { mayFail: BROKEN });
    await live(page);
    await server.kill();
    await until(async () => /^offline since \d\d:\d\d/.test(await state(page).textContent()));
    assert.equal(await count(page), 2);
    await server.start();
    await server.report("kiwi", 30, 40);
    await live(page);
    await row(page, "kiwi").getByText("30.0000, 40.0000").waitFor();
    await row(page, "emu").waitFor();
});

test("a server that comes back as another incarnation, and knows nobody, is believed", async (t) => {
    const server = await herd(t, { settings: 'data_dir = ""' });
    await server.report("kiwi", 10, 20);
    await server.report("emu", 10, 21);
    const page = await open(t, server.url, { mayFail: BROKEN });
    await live(page);
    await server.kill();
    await until(async () => /^offline since/.test(await state(page).textContent()));
    await server.start();
    await live(page);
    await row(page, "emu").waitFor({ state: "detached" });
    await page.getByText("Nobody has reported yet.").waitFor();
    await server.report("kiwi", 30, 40);
    await row(page, "kiwi").getByText("30.0000, 40.0000").waitFor();
});

for (const status of [502, 503]) {
    test(`after a ${status} of a proxy the stream is resumed where it was`, async (t) => {
        const server = await herd(t);
        const between = await Between.of(t, server.url);
        await server.report("kiwi", 10, 20);
        const page = await open(t, between.url, { mayFail: BROKEN });
        await live(page);
        between.mode = status;
        between.cut();
        await until(async () => (status === 503 ? /busy/ : /error 502/).test(await state(page).textContent()));
        assert.equal(await count(page), 1);
        await server.report("kiwi", 11, 22);
        between.mode = "pass";
        await live(page);
        await row(page, "kiwi").getByText("11.0000, 22.0000").waitFor();
        assert.equal(between.snapshots, 1);
        assert.match(between.asked.findLast((request) => request.includes("/v1/events")), /last_event_id=/);
    });
}

test("a connection that died in a sleep is given up, and another one tells what was missed", async (t) => {
    const server = await herd(t);
    const between = await Between.of(t, server.url);
    await server.report("kiwi", 10, 20);
    // With the stream in the page itself, its clock can be put on, as it is for a computer that wakes up.
    const prepare = async (context) => {
        await context.addInitScript(() => delete globalThis.SharedWorker);
        await context.clock.install();
    };
    const page = await open(t, between.url, { mayFail: BROKEN, prepare });
    await live(page);
    between.mode = "stall";
    await server.report("kiwi", 11, 22);
    await page.clock.fastForward("10:00");
    await until(async () => /^(behind|offline)/.test(await state(page).textContent()));
    between.cut();
    between.mode = "pass";
    await page.clock.fastForward("01:00");
    await live(page);
    await row(page, "kiwi").getByText("11.0000, 22.0000").waitFor();
});

test("a token that was refused for a while counts again when it is typed again", async (t) => {
    const server = await guarded(t, "sesame-sesame-sesame");
    const page = await open(t, server.url, { mayFail: /401/ });
    await page.getByLabel("Token").fill("sesame-sesame-sesame");
    await page.keyboard.press("Enter");
    await live(page);
    for (const token of ["simsim-simsim-simsim", "sesame-sesame-sesame"]) {
        await writeFile(join(server.herd.folder, "herd.tokens"), tokens(token));
        server.signal("SIGHUP");
        server.token = token;
        await until(() => server.report("kiwi", 11, 22).then(() => true, () => false));
        if (token.startsWith("simsim")) await page.getByRole("dialog").waitFor();
    }
    await page.getByLabel("Token").fill(server.token);
    await page.keyboard.press("Enter");
    await live(page);
    await row(page, "kiwi").waitFor();
});

test("a page that the browser has frozen shows the newest when it is thawed", async (t) => {
    const server = await herd(t);
    await server.report("kiwi", 10, 20);
    const page = await open(t, server.url);
    await live(page);
    const cdp = await page.context().newCDPSession(page);
    await cdp.send("Page.setWebLifecycleState", { state: "frozen" });
    await server.report("kiwi", 11, 22);
    await server.report("emu", 12, 22);
    await cdp.send("Page.setWebLifecycleState", { state: "active" });
    await row(page, "kiwi").getByText("11.0000, 22.0000").waitFor();
    await row(page, "emu").waitFor();
    await live(page);
});

test("a browser without a network says since when, and comes back", async (t) => {
    const server = await herd(t);
    const between = await Between.of(t, server.url);
    await server.report("kiwi", 10, 20);
    const page = await open(t, between.url, { mayFail: BROKEN });
    await live(page);
    await page.context().setOffline(true);
    between.mode = "shut";
    between.cut();
    await until(async () => /^offline since .* \(no network\)/.test(await state(page).textContent()));
    assert.equal(await count(page), 1);
    between.mode = "pass";
    await page.context().setOffline(false);
    await live(page);
});

test("reports that come late are told as behind", async (t) => {
    const server = await herd(t, { names: ["Goloman", "Hands"], links: [["Goloman", "Hands"]], settings: 'data_dir = "data"' });
    const hands = server.herd.server("Hands");
    await server.report("kiwi", 10, 20);
    const page = await open(t, server.url, { mayFail: BROKEN });
    await live(page);
    // It hears of somebody while nobody hears it, and says so when it is back.
    await server.kill();
    await hands.report("emu", 1, 2);
    await hands.kill();
    const heard = Date.now();
    await server.start();
    await live(page);
    await until(() => Date.now() - heard > 5_000);
    const states = await statesOf(page);
    await hands.start();
    await row(page, "emu").waitFor();
    await states.include(/^behind \d+ s/);
    await live(page);
});

test("links and servers that go down and come back are told in the panel", async (t) => {
    const server = await herd(t, FIVE);
    await server.report("kiwi", 10, 20);
    await server.herd.server("Welsh").report("emu", 10, 21);
    const page = await open(t, server.url, { mayFail: BROKEN });
    await row(page, "emu").waitFor();
    await page.getByRole("tab", { name: "Herd" }).click();
    const link = (name) => page.locator("#herd-links tr", { hasText: name });
    for (const name of ["Hands", "Holiday", "Wilkes"]) await link(name).getByText("up", { exact: true }).waitFor();
    assert.equal(await page.locator("#herd-links tr").count(), 3);
    await page.locator("#herd-servers tr", { hasText: "Welsh" }).getByText("1 client").waitFor();
    await server.herd.server("Hands").kill();
    await link("Hands").getByText("down", { exact: true }).waitFor();
    await link("Wilkes").getByText("up", { exact: true }).waitFor();
    await server.report("kiwi", 11, 20);
    await link("Hands").getByText(/^\d clients?, \d+ s/).waitFor();
    await server.herd.server("Hands").start();
    await link("Hands").getByText("up", { exact: true }).waitFor();
    await link("Hands").getByText("–").waitFor();
    await server.kill();
    await page.locator("#herd-down", { hasText: "Goloman has not answered since" }).waitFor();
    assert.equal(await count(page), 2);
    await server.start();
    await until(async () => (await page.locator("#herd-down").textContent()) === "");
});

const tokens = (secret) => `wall read,write,metrics ${secret}\n`;

/** A server that wants a token, its only one. */
async function guarded(t, secret) {
    const server = await herd(t, { http: 'tokens_file = "herd.tokens"', files: { "herd.tokens": tokens(secret) } });
    server.token = secret;
    return server;
}

test("a token is typed once, for all tabs", async (t) => {
    const server = await guarded(t, "sesame-sesame-sesame");
    await server.report("kiwi", 10, 20);
    const page = await open(t, server.url, { mayFail: /401/ });
    await page.getByRole("dialog").waitFor();
    await page.getByLabel("Token").fill("sesame-sesame-wrong!");
    await page.keyboard.press("Enter");
    await page.getByText("does not know this token").waitFor();
    await page.getByLabel("Token").fill("sesame-sesame-sesame");
    await page.keyboard.press("Enter");
    await row(page, "kiwi").waitFor();
    await page.getByRole("dialog").waitFor({ state: "hidden" });
    const second = await page.context().newPage();
    await second.goto(server.url);
    await row(second, "kiwi").waitFor();
    await second.getByRole("dialog").waitFor({ state: "hidden" });
    await second.getByRole("tab", { name: "Herd" }).click();
    await second.locator("#herd-about", { hasText: "Goloman" }).waitFor();
    await second.close();
    await page.reload();
    await row(page, "kiwi").waitFor();
});

test("a token that no longer counts is asked for again, and the page stays", async (t) => {
    const server = await guarded(t, "sesame-sesame-sesame");
    await server.report("kiwi", 10, 20);
    const page = await open(t, server.url, { mayFail: /401/ });
    await page.getByLabel("Token").fill("sesame-sesame-sesame");
    await page.keyboard.press("Enter");
    await live(page);
    await writeFile(join(server.herd.folder, "herd.tokens"), tokens("simsim-simsim-simsim"));
    server.signal("SIGHUP");
    server.token = "simsim-simsim-simsim";
    await until(() => server.report("kiwi", 11, 22).then(() => true, () => false));
    await page.getByRole("dialog").waitFor();
    await until(async () => (await state(page).textContent()) === "sign-in needed");
    await row(page, "kiwi").getByText("10.0000, 20.0000").waitFor();
    await page.getByLabel("Token").fill(server.token);
    await page.keyboard.press("Enter");
    await live(page);
    await row(page, "kiwi").getByText("11.0000, 22.0000").waitFor();
});

test("a token that may not read is told so, and another one may be typed", async (t) => {
    const server = await herd(t, { http: 'tokens_file = "herd.tokens"', files: { "herd.tokens": `phone write ${"phone".repeat(4)}\n${tokens("sesame-sesame-sesame")}` } });
    server.token = "sesame-sesame-sesame";
    await server.report("kiwi", 10, 20);
    const page = await open(t, server.url, { mayFail: /40[13]/ });
    await page.getByLabel("Token").fill("phone".repeat(4));
    await page.keyboard.press("Enter");
    await page.getByText("This token may not read.").waitFor();
    await page.getByLabel("Token").fill(server.token);
    await page.keyboard.press("Enter");
    await row(page, "kiwi").waitFor();
    await page.getByRole("dialog").waitFor({ state: "hidden" });
});

test("who has signed in by Basic is asked for no token", async (t) => {
    const server = await guarded(t, "sesame-sesame-sesame");
    await server.report("kiwi", 10, 20);
    const page = await open(t, server.url, { mayFail: /401|404/, hash: "v1/herd", httpCredentials: { username: "wall", password: server.token, origin: server.url } });
    await page.getByText('"server":"Goloman"').waitFor();
    await page.goto(server.url);
    await row(page, "kiwi").waitFor();
    await live(page);
    await page.getByRole("dialog").waitFor({ state: "hidden" });
});
