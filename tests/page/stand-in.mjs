// A stand-in for herd's door for HTTP, as far as the map page asks it: the page's files with the real policy, the
// stream of events with resumption, the herd, places and labels. Positions come by PUT, as they come to the real one.
// `node tests/page/stand-in.mjs [--port 8080] [--clients 10000] [--token SECRET]` runs one with clients that move.

import { createHash } from "node:crypto";
import { createServer } from "node:http";
import { gzipSync } from "node:zlib";
import { parseArgs } from "node:util";
import { readFileSync, readdirSync } from "node:fs";
import { pathToFileURL } from "node:url";

const PAGE = new URL("../../src/door/http/page/", import.meta.url);
const TYPES = { js: "text/javascript", css: "text/css", svg: "image/svg+xml", bin: "application/octet-stream", html: "text/html" };
const HEADERS = {
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "no-referrer",
    "Cross-Origin-Opener-Policy": "same-origin",
};
const TOWNS = [["London", 51.51, -0.13], ["New York", 40.71, -74.01], ["Los Angeles", 34.05, -118.24], ["São Paulo", -23.55, -46.63], ["Cairo", 30.04, 31.24], ["Nairobi", -1.29, 36.82],
    ["Moscow", 55.76, 37.62], ["Delhi", 28.61, 77.21], ["Beijing", 39.9, 116.4], ["Tokyo", 35.68, 139.69], ["Sydney", -33.87, 151.21], ["Auckland", -36.85, 174.76], ["Suva", -18.14, 178.44],
    ["Anchorage", 61.22, -149.9], ["Paris", 48.86, 2.35], ["Berlin", 52.52, 13.4], ["Madrid", 40.42, -3.7], ["Lima", -12.05, -77.04], ["Cape Town", -33.92, 18.42], ["San Diego", 32.72, -117.16]];

/** One grey pixel. */
const TILE = Buffer.from("iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mNoaGj4DwAFhAKAjM1mJgAAAABJRU5ErkJggg==", "base64");

const policy = (tiles) =>
    `default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:${tiles ? ` ${new URL(tiles.url.replace(/[{}]/g, "")).origin}` : ""}; ` +
    "connect-src 'self'; worker-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'";

export class StandIn {
    server = "Goloman";
    /** Newest of each client, with the number of its news. */
    clients = new Map();
    news = 0;
    requests = [];
    subscribers = new Set();
    neighbours = new Map([["Hands", true], ["Holiday", true], ["Wilkes", false]]);
    /** Answers /v1/events with this status instead, when it is not 0. */
    fails = 0;
    #incarnation = 1;
    #files = new Map();

    constructor({ token = "", tiles = null } = {}) {
        Object.assign(this, { token, tiles });
        for (const name of readdirSync(PAGE)) {
            const body = readFileSync(new URL(name, PAGE));
            this.#files.set(name, { body, gzip: gzipSync(body, { level: 9 }), type: TYPES[name.split(".").pop()] });
        }
        this.hash = createHash("sha256").update([...this.#files.values()].map(({ body }) => body.toString("base64")).join()).digest("hex").slice(0, 12);
    }

    /** What everything weighs on the wire when the page is opened. */
    get weight() {
        return [...this.#files].filter(([, { type }]) => type).reduce((sum, [, { gzip }]) => sum + gzip.length, 0);
    }

    async start(port = 0) {
        this.http = createServer((request, answer) => this.#answer(request, answer).catch((error) => answer.destroy(error)));
        await new Promise((done, failed) => this.http.once("error", failed).listen(port, "127.0.0.1", done));
        this.port = this.http.address().port;
        this.url = `http://127.0.0.1:${this.port}`;
        this.beat = setInterval(() => this.subscribers.forEach(({ answer }) => answer.write(":\n")), 15_000);
        this.flush = setInterval(() => this.subscribers.forEach((subscriber) => this.#send(subscriber)), 100);
        return this;
    }

    async stop() {
        clearInterval(this.beat);
        clearInterval(this.flush);
        this.subscribers.clear();
        const closed = new Promise((done) => this.http.close(done));
        this.http.closeAllConnections();
        await closed;
    }

    /** Stops and starts on the same port; another incarnation has forgotten who knows what. */
    async restart({ isNew = true, down = async () => {} } = {}) {
        const { port } = this;
        await this.stop();
        await down();
        if (isNew) this.#incarnation++;
        await this.start(port);
    }

    report(id, lat, lon, more = {}) {
        const received = more.received ?? Math.floor(Date.now() / 1_000);
        this.clients.set(id, { news: ++this.news, position: { id, lat, lon, time: more.time ?? (Date.now() / 1_000).toFixed(9), server: more.server ?? this.server, received } });
    }

    forget(id) {
        this.clients.delete(id);
        for (const { answer } of this.subscribers) answer.write(event("gone", { id, why: "forgotten" }));
    }

    link(neighbour, up) {
        this.neighbours.set(neighbour, up);
        for (const { answer } of this.subscribers) answer.write(event("link", { server: this.server, neighbour, up }));
    }

    #send(subscriber) {
        if (subscriber.seen === this.news || subscriber.answer.writableNeedDrain) return;
        let text = "";
        // A map keeps the order of first insertion, so all have to be looked at.
        for (const { news, position } of this.clients.values()) {
            if (news > subscriber.seen) text += event("position", position);
        }
        subscriber.seen = this.news;
        subscriber.answer.write(`${text}id: ${this.#id()}\n\n`);
    }

    #id() {
        return `${this.#incarnation.toString(16).padStart(8, "0")}-${this.news}`;
    }

    async #answer(request, answer) {
        const url = new URL(request.url, this.url);
        // An escaped slash belongs to an ID, so a path is cut before it is decoded.
        const path = url.pathname;
        this.requests.push(`${request.method} ${path}`);
        if (path === "/" || path === "/index.html") return this.#index(request, answer);
        if (path.startsWith("/assets/")) return this.#asset(path.split("/").pop(), answer);
        if (path.startsWith("/tiles/")) return send(answer, 200, "image/png", TILE);
        if (path === "/metrics") return send(answer, 200, "text/plain", `herd_event_subscribers ${this.subscribers.size}\n`);
        if (this.token && request.headers.authorization !== `Bearer ${this.token}`) return problem(answer, 401, "a token is needed");
        if (path === "/v1/events") return this.#events(request, answer, url.searchParams);
        if (path === "/v1/herd") return json(answer, this.#herd());
        if (path === "/v1/labels") return json(answer, { labels: labels(url.searchParams.get("bbox").split(",").map(Number)) });
        if (path === "/v1/places") return json(answer, places(...url.searchParams.get("near").split(",").map(Number)));
        const [, , , id, what] = path.split("/").map(decodeURIComponent);
        if (request.method === "PUT") {
            const { lat, lon, time } = await readJson(request);
            this.report(id, lat, lon, { time });
            return json(answer, { news: true });
        }
        const known = this.clients.get(id)?.position;
        if (!known) return problem(answer, 404, `no client called ${id}`);
        return json(answer, what === "places" ? places(known.lat, known.lon) : known);
    }

    #index(request, answer) {
        const config = JSON.stringify({ server: this.server, tiles: this.tiles, needs_token: this.token !== "" });
        const escaped = config.replace(/&/g, "&amp;").replace(/"/g, "&quot;").replace(/</g, "&lt;");
        const html = this.#files.get("index.html").body.toString().replaceAll("{{assets}}", `/assets/${this.hash}`).replace("{{config}}", escaped);
        send(answer, 200, "text/html; charset=utf-8", html, { "Content-Security-Policy": policy(this.tiles), "Cache-Control": "no-cache" });
    }

    #asset(name, answer) {
        const file = this.#files.get(name);
        if (!file) return problem(answer, 404, "no such file");
        send(answer, 200, file.type, file.gzip, { "Content-Encoding": "gzip", "Cache-Control": "public, max-age=31536000, immutable", "Content-Security-Policy": policy(null) });
    }

    #events(request, answer, parameters) {
        if (this.fails) return problem(answer, this.fails, "not now", this.fails === 503 ? { "Retry-After": "1" } : {});
        answer.writeHead(200, { ...HEADERS, "Content-Type": "text/event-stream", "Cache-Control": "private, no-cache, no-store" });
        const [incarnation, seen] = (parameters.get("last_event_id") ?? "").split("-");
        const isKnown = parseInt(incarnation, 16) === this.#incarnation;
        const subscriber = { answer, seen: isKnown ? Number(seen) : 0 };
        answer.write("retry: 200\n\n");
        if (!isKnown) answer.write(event("snapshot", { server: this.server }));
        for (const [neighbour, up] of this.neighbours) answer.write(event("link", { server: this.server, neighbour, up }));
        this.#send(subscriber);
        answer.write(event("caught-up", {}));
        this.subscribers.add(subscriber);
        request.on("close", () => this.subscribers.delete(subscriber));
        answer.on("close", () => this.subscribers.delete(subscriber));
    }

    #herd() {
        const links = [...this.neighbours].map(([neighbour, up]) => ({ neighbour, up, lag_clients: up ? 0 : 12, lag_s: up ? 0 : 95 }));
        return { server: this.server, version: "0.9.0", clients: this.clients.size, digest: "0f3c", news: this.news, forgotten: 0, journal: { state: "ok", bytes: 1_830_000 }, links,
            notes: this.neighbours.get("Wilkes") ? [] : ["Wilkes is not connected: connection refused"] };
    }
}

const event = (name, data) => `event: ${name}\ndata: ${JSON.stringify(data)}\n\n`;

const json = (answer, value) => send(answer, 200, "application/json", JSON.stringify(value));

const problem = (answer, status, detail, more) => send(answer, status, "application/problem+json", JSON.stringify({ type: "about:blank", status, detail }), more);

function send(answer, status, type, content, more = {}) {
    answer.writeHead(status, { ...HEADERS, "Content-Type": type, ...more });
    answer.end(content);
}

async function readJson(request) {
    let text = "";
    for await (const part of request) text += part;
    return JSON.parse(text);
}

function labels([west, south, east, north]) {
    const isIn = (lon) => (west <= east ? lon >= west && lon <= east : lon >= west || lon <= east);
    return TOWNS.filter(([, lat, lon]) => lat >= south && lat <= north && isIn(lon)).map(([name, lat, lon]) => ({ name, lat, lon }));
}

function places(lat, lon) {
    const names = ["Powell Library", "Royce Hall", "Bruin Café", "Janss Steps"];
    return {
        results: names.map((name, at) => ({ name, vicinity: "Los Angeles", types: [at === 2 ? "cafe" : "point_of_interest"], geometry: { location: { lat: lat + at / 500, lng: lon - at / 700 } } })),
        html_attributions: ['Places of <a href="https://www.geonames.org/">GeoNames</a>, CC BY 4.0'],
        status: "OK",
    };
}

/** Clients that drive about on their own for ever: `hz` reports a second of each. */
export function drive(stand, count, hz = 1) {
    const fleet = Array.from({ length: count }, (_, at) => ({
        id: `car-${at}`,
        lat: Math.asin(2 * Math.random() - 1) * 50,
        lon: Math.random() * 360 - 180,
        turn: Math.random() * 6.28,
        server: ["Goloman", "Hands", "Holiday", "Wilkes"][at % 4],
        received: at % 9 === 0 ? Math.floor(Date.now() / 1_000) - 900 : at % 23 === 0 ? Math.floor(Date.now() / 1_000) - 9_000 : undefined,
    }));
    for (const { id, lat, lon, server, received } of fleet) stand.report(id, lat, lon, { server, received });
    const moving = fleet.filter(({ received }) => !received);
    let next = 0;
    const perTick = (count * hz) / 10;
    let due = 0;
    return setInterval(() => {
        for (due += perTick; due >= 1; due--) {
            const car = moving[next++ % moving.length];
            car.turn += (Math.random() - 0.5) / 2;
            car.lat = Math.max(-80, Math.min(80, car.lat + Math.sin(car.turn) * 0.15));
            car.lon = ((car.lon + Math.cos(car.turn) * 0.15 + 540) % 360) - 180;
            stand.report(car.id, +car.lat.toFixed(6), +car.lon.toFixed(6), { server: car.server });
        }
    }, 100);
}

if (import.meta.url === pathToFileURL(process.argv[1]).href) {
    const { values } = parseArgs({ options: { port: { type: "string" }, clients: { type: "string" }, token: { type: "string" } } });
    const stand = await new StandIn({ token: values.token }).start(Number(values.port ?? 8080));
    drive(stand, Number(values.clients ?? 1_000));
    console.log(`${stand.url}, ${stand.weight} bytes of page`);
}
