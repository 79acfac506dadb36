// The stream of the map page in a real browser, with real servers: tabs, breaks, sleep, restarts, tokens. Each test is a
// sentence that says what holds. No time in it is tighter than a hang.

import assert from "node:assert/strict";
import test, { after } from "node:test";
import { Between } from "./between.mjs";
import { browser, count, herd, live, open, row, state, statesOf } from "./harness.mjs";
import { join } from "node:path";
import { atEnd, drive, until } from "./servers.mjs";
import { writeFile } from "node:fs/promises";

/** What a browser says of a server that is away. */
const BROKEN = /ERR_|Failed to load/;
/** With the stream in the page itself its clock can be put on. */
const inPage = async (context) => {
    await context.addInitScript(() => delete globalThis.SharedWorker);
    await context.clock.install();
};
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
    // As it is for a computer that wakes up.
    const page = await open(t, between.url, { mayFail: BROKEN, prepare: inPage });
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

test("a server that stops in the middle of a busy stream is told to be silent, and then to be live again", async (t) => {
    const server = await herd(t);
    const page = await open(t, server.url, { mayFail: BROKEN });
    await live(page);
    const driving = await drive([server], 20, 1);
    atEnd(t, () => driving.stop());
    const driven = Date.now();
    await until(() => Date.now() - driven > 5_000);
    const stopped = Date.now();
    server.signal("SIGSTOP");
    atEnd(t, () => server.signal("SIGCONT"));
    await until(async () => /^nothing heard for \d+ s/.test(await state(page).textContent()));
    assert.ok(Date.now() - stopped < 14_000, "long before a comment is due");
    server.signal("SIGCONT");
    await live(page);
});

test("a server from which not even a comment comes is told to be silent, and offline after two", async (t) => {
    const server = await herd(t);
    const between = await Between.of(t, server.url);
    await server.report("kiwi", 10, 20);
    // What the herd panel asks is answered, for it is not what is tested here.
    const prepare = async (context) => {
        await inPage(context);
        await context.route("**/v1/herd", (route) => route.fulfill({ json: { server: "Goloman", clients: 1, news: 1 } }));
    };
    const page = await open(t, between.url, { mayFail: BROKEN, prepare });
    await live(page);
    const now = await page.evaluate(() => Date.now());
    await page.clock.pauseAt(now + 1_000);
    between.mode = "stall";
    // Not all at once, or the panel's question, too, would have waited for so long.
    for (let step = 0; step < 5; step++) await page.clock.runFor(3_000);
    assert.equal(await state(page).textContent(), "live");
    for (let step = 0; step < 2; step++) await page.clock.runFor(2_000);
    assert.match(await state(page).textContent(), /^nothing heard for \d\d s$/);
    for (let step = 0; step < 8; step++) await page.clock.runFor(2_000);
    await until(async () => /^offline since/.test(await state(page).textContent()));
});

test("while the server does not answer other questions the page does not say live", async (t) => {
    const server = await herd(t);
    await server.report("kiwi", 10, 20);
    const page = await open(t, server.url, { mayFail: BROKEN });
    await live(page);
    await page.route("**/v1/herd", (route) => route.fulfill({ status: 502 }));
    await until(async () => (await state(page).textContent()) === "error 502");
    await page.unroute("**/v1/herd");
    await live(page);
    // Who guesses too much is told so, and not that the server is down.
    await page.getByRole("tab", { name: "Herd" }).click();
    await page.route("**/v1/herd", (route) => route.fulfill({ status: 429 }));
    await page.locator("#herd-down", { hasText: "too many wrong tokens from here" }).waitFor();
    await page.locator("#herd-servers", { hasText: "up, this server" }).waitFor();
});

test("what each server heard is counted each second, and not only when the server is asked", async (t) => {
    const server = await herd(t);
    await server.report("kiwi", 10, 20);
    const page = await open(t, server.url, { prepare: (context) => context.clock.install() });
    await live(page);
    await page.getByRole("tab", { name: "Herd" }).click();
    const own = page.locator("#herd-servers tr");
    await own.getByText("1", { exact: true }).waitFor();
    await page.route("**/v1/herd", () => {});
    await page.clock.pauseAt((await page.evaluate(() => Date.now())) + 100);
    await server.report("emu", 10, 21);
    await until(async () => (await count(page)) === 2);
    await page.clock.runFor(1_000);
    await own.getByText("2", { exact: true }).waitFor();
});

test("an outage is told as one, and over as soon as the server answers anything", async (t) => {
    const server = await herd(t);
    await server.report("kiwi", 10, 20);
    const page = await open(t, server.url, { mayFail: BROKEN, prepare: inPage });
    await live(page);
    let attempts = 0;
    page.on("requestfailed", (request) => (attempts += request.url().includes("/v1/events") ? 1 : 0));
    await server.kill();
    await until(async () => /^offline since/.test(await state(page).textContent()));
    const states = await statesOf(page);
    // Until it waits for 15 s at least.
    for (let failed = attempts; attempts < failed + 6; ) await page.clock.runFor(1_000);
    assert.deepEqual((await states.all()).filter((words) => !words.startsWith("offline since")), []);
    await server.start();
    const now = await page.evaluate(() => Date.now());
    await page.clock.pauseAt(now + 100);
    await page.clock.runFor(6_000);
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
    // Of each server what is known here: Welsh is no neighbour.
    const ofServer = (name) => page.locator("#herd-servers tr", { hasText: name }).first();
    assert.deepEqual(await page.locator("#herd-servers th").allTextContents(), FIVE.names);
    await until(async () => /^Welshnot known here; linked with Holiday1\d+ s ago$/.test(await ofServer("Welsh").textContent()));
    assert.equal(await ofServer("Hands").textContent(), "Handsup0–");
    await server.herd.server("Hands").kill();
    await link("Hands").getByText("down", { exact: true }).waitFor();
    await ofServer("Hands").getByText("no link").waitFor();
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

test("a page of before an upgrade offers to be loaded anew", async (t) => {
    const server = await herd(t);
    await server.report("kiwi", 10, 20);
    const page = await open(t, server.url, { hash: "#client=kiwi" });
    await live(page);
    const reload = page.getByRole("button", { name: "Reload" });
    await page.getByRole("tab", { name: "Herd" }).click();
    await page.locator("#herd-about", { hasText: "version" }).waitFor();
    assert.ok(await reload.isHidden());
    await page.route("**/v1/herd", async (route) => {
        const answer = await route.fetch();
        await route.fulfill({ json: { ...(await answer.json()), version: "99.0.0" } });
    });
    await reload.waitFor();
    await page.unroute("**/v1/herd");
    await reload.click();
    await reload.waitFor({ state: "hidden" });
    await page.locator("#card-name", { hasText: "kiwi" }).waitFor();
});

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

test("a tab that is opened later has the token from the first one, and asks nothing without it", async (t) => {
    const server = await guarded(t, "sesame-sesame-sesame");
    await server.report("kiwi", 10, 20);
    const page = await open(t, server.url, { mayFail: /401/ });
    await page.getByLabel("Token").fill("sesame-sesame-sesame");
    await page.keyboard.press("Enter");
    await live(page);
    // What its console says is a fault here.
    const second = await open(t, server.url, { context: page.context() });
    await row(second, "kiwi").waitFor();
    await second.getByRole("tab", { name: "Herd" }).click();
    await second.locator("#herd-about", { hasText: "Goloman" }).waitFor();
});

test("a form for the token is closed when the stream is live and the token counts again, and until then nothing says live", async (t) => {
    const server = await guarded(t, "sesame-sesame-sesame");
    await server.report("kiwi", 10, 20);
    const page = await open(t, server.url, { mayFail: /401/ });
    await page.getByLabel("Token").fill("sesame-sesame-sesame");
    await page.keyboard.press("Enter");
    await live(page);
    await page.getByRole("dialog").waitFor({ state: "hidden" });
    await page.route("**/v1/herd", (route) => route.fulfill({ status: 401 }));
    await page.getByRole("dialog").waitFor();
    await until(async () => (await state(page).textContent()) === "sign-in needed");
    await page.unroute("**/v1/herd");
    await live(page);
    await page.getByRole("dialog").waitFor({ state: "hidden" });
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

/** Writes the server's file of tokens anew, and waits until the server has read it. */
async function setTokens(server, secret) {
    await writeFile(join(server.herd.folder, "herd.tokens"), tokens(secret));
    server.signal("SIGHUP");
    server.token = secret;
    await until(() => server.report("kiwi", 11, 22).then(() => true, () => false));
}

test("when the server's file of tokens is mended the page is live again by itself", async (t) => {
    const server = await guarded(t, "sesame-sesame-sesame");
    const between = await Between.of(t, server.url);
    const page = await open(t, between.url, { mayFail: /401/, prepare: inPage });
    await page.getByLabel("Token").fill("sesame-sesame-sesame");
    await page.keyboard.press("Enter");
    await live(page);
    await setTokens(server, "simsim-simsim-simsim");
    await page.getByRole("dialog").waitFor();
    const asked = () => between.asked.filter((request) => request.includes("/v1/events")).length;
    // Who is about to type is not disturbed by an attempt that fails.
    await page.getByLabel("Token").fill("half of it");
    await page.locator("#sign-in").getByRole("button", { name: "Sign in" }).focus();
    const before = between.asked.length;
    const streams = asked();
    await page.clock.fastForward("01:01");
    await until(() => asked() > streams);
    await page.locator("#dots").evaluate(() => fetch("/healthz"));
    assert.ok(between.asked.length - before <= 4, between.asked.slice(before).join());
    assert.equal(await page.evaluate(() => document.activeElement.type), "submit");
    assert.equal(await page.getByLabel("Token").inputValue(), "half of it");
    await setTokens(server, "sesame-sesame-sesame");
    await page.clock.fastForward("01:01");
    await live(page);
    await page.getByRole("dialog").waitFor({ state: "hidden" });
    await row(page, "kiwi").getByText("11.0000, 22.0000").waitFor();
});

test("a form for the token that was closed by hand stays so, and the token counts again as soon as the network is back", async (t) => {
    const server = await guarded(t, "sesame-sesame-sesame");
    const page = await open(t, server.url, { mayFail: /401|ERR_INTERNET_DISCONNECTED|Failed to load/ });
    await page.getByLabel("Token").fill("sesame-sesame-sesame");
    await page.keyboard.press("Enter");
    await live(page);
    await setTokens(server, "simsim-simsim-simsim");
    await page.getByRole("dialog").waitFor();
    await page.keyboard.press("Escape");
    await page.getByRole("button", { name: "Sign in" }).click();
    // A finger has no Escape.
    const notNow = page.getByRole("button", { name: "Not now" });
    assert.ok((await notNow.boundingBox()).height >= 44);
    await notNow.click();
    await page.getByRole("dialog").waitFor({ state: "hidden" });
    await page.getByRole("button", { name: "Sign in" }).waitFor();
    await page.locator("#filter").focus();
    const back = async () => {
        await page.context().setOffline(true);
        await page.context().setOffline(false);
    };
    await back();
    await page.locator("#dots").evaluate(() => fetch("/v1/herd").then((answer) => answer.text()));
    assert.equal(await page.evaluate(() => document.activeElement.id), "filter");
    await setTokens(server, "sesame-sesame-sesame");
    await back();
    await live(page);
    assert.ok(await page.getByRole("button", { name: "Sign in" }).isHidden());
    assert.equal(await page.evaluate(() => document.activeElement.id), "filter");
});

for (const [what, prepare] of [
    ["a shared worker", undefined],
    ["a lock", (context) => context.addInitScript(() => delete globalThis.SharedWorker)],
]) {
    test(`a token that is forgotten in one tab is forgotten in all, and its stream is closed: tabs that share ${what}`, async (t) => {
        const server = await guarded(t, "sesame-sesame-sesame");
        await server.report("kiwi", 10, 20);
        const first = await open(t, server.url, { mayFail: /401/, prepare });
        await first.getByLabel("Token").fill("sesame-sesame-sesame");
        await first.keyboard.press("Enter");
        await row(first, "kiwi").waitFor();
        const second = await first.context().newPage();
        await second.goto(server.url);
        await row(second, "kiwi").waitFor();
        await second.getByRole("button", { name: "Forget the token" }).click();
        for (const page of [first, second]) {
            await page.getByRole("dialog").waitFor();
            await row(page, "kiwi").waitFor({ state: "detached" });
        }
        await until(async () => {
            await server.report("emu", 1, 2);
            return (await server.streams()) === 0;
        });
        for (const page of [first, second]) {
            await page.reload();
            await page.getByRole("dialog").waitFor();
            assert.equal(await count(page), 0);
            assert.ok(!(await page.evaluate(() => JSON.stringify({ ...sessionStorage, ...localStorage }))).includes("sesame"));
        }
        await first.getByLabel("Token").fill("sesame-sesame-sesame");
        await first.keyboard.press("Enter");
        for (const page of [first, second]) await row(page, "emu").waitFor();
    });
}

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
    const page = await open(t, server.url, { mayFail: /401|404/, httpCredentials: { username: "wall", password: server.token, origin: server.url } });
    // What was typed before does not stand in the way.
    await page.getByLabel("Token").fill("simsim-simsim-simsim");
    await page.keyboard.press("Enter");
    await page.getByText("does not know this token").waitFor();
    await page.getByRole("link", { name: "By user and password" }).click();
    await row(page, "kiwi").waitFor();
    await live(page);
    await page.getByRole("dialog").waitFor({ state: "hidden" });
});
