// Real servers for the tests of the map page: each is a process of the herd, in a folder and with a herd.conf of its
// test, and is ended by that test. HERD_BIN names another program than target/debug/herd.

import { createInterface } from "node:readline";
import { createServer, createConnection } from "node:net";
import { execFile, spawn } from "node:child_process";
import { existsSync } from "node:fs";
import { fileURLToPath } from "node:url";
import { mkdtemp, readFile, rm, writeFile } from "node:fs/promises";
import { once } from "node:events";
import { join } from "node:path";
import { promisify } from "node:util";
import { tmpdir } from "node:os";

export const HERD = process.env.HERD_BIN ?? fileURLToPath(new URL("../../target/debug/herd", import.meta.url));
if (!existsSync(HERD)) throw new Error(`there is no ${HERD}: run cargo build, or set HERD_BIN`);

/** Longer than anything takes that works. */
export const HANG_MS = 30_000;

/** Processes of this one. None outlives it, whatever ends it. @type {Set<import("node:child_process").ChildProcess>} */
const running = new Set();
process.on("exit", () => running.forEach((child) => child.kill("SIGKILL")));
for (const [signal, status] of [["SIGINT", 130], ["SIGTERM", 143]]) process.once(signal, () => process.exit(status));

/** What is to be done at the end of each test. @type {WeakMap<object, (() => unknown)[]>} */
const ends = new WeakMap();

/**
 * Has something done when a test is over, what came last first: a page is closed before its server is killed.
 * @param {{after: (deed: () => unknown) => void}} test
 * @param {() => unknown} deed
 */
export function atEnd(test, deed) {
    const known = ends.get(test);
    if (known) return known.push(deed);
    const deeds = [deed];
    ends.set(test, deeds);
    test.after(async () => {
        const faults = [];
        while (deeds.length) await Promise.resolve().then(deeds.pop()).catch((fault) => faults.push(fault));
        if (faults.length) throw faults[0];
    });
}

/** Waits until a condition on this side holds. */
export async function until(holds, ms = HANG_MS) {
    for (const end = Date.now() + ms; ; await new Promise((done) => setTimeout(done, 20))) {
        if (await holds()) return;
        if (Date.now() > end) throw new Error(`did not come true: ${holds}`);
    }
}

const part = (least, most) => least + Math.floor(Math.random() * (most + 1 - least));

/** A loopback address that nobody else uses, so that a port that was free on it stays so. */
export const freeHost = () => `127.${part(1, 254)}.${part(0, 255)}.${part(1, 254)}`;

export async function freePort(host) {
    const listener = createServer().listen(0, host);
    await once(listener, "listening");
    const { port } = listener.address();
    listener.close();
    await once(listener, "close");
    return port;
}

/** The servers of one herd.conf; all stop, and the folder goes, when the test is over. */
export class Herd {
    /** By name. @type {Map<string, Server>} */
    servers = new Map();

    /**
     * @param {{after: (deed: () => unknown) => void}} test
     * @param {object} [wishes]
     * @param {string[]} [wishes.names] the first one is the one that pages are opened at
     * @param {[string, string][]} [wishes.links]
     * @param {string} [wishes.settings] lines at the top of herd.conf
     * @param {string} [wishes.http] lines of [http]
     * @param {string} [wishes.tables] lines at its end
     * @param {Record<string, string>} [wishes.files] what else is in the folder
     */
    static async in(test, { names = ["Goloman"], links = [], settings = 'data_dir = ""', http = "", tables = "", files = {} } = {}) {
        const herd = new Herd();
        herd.folder = await mkdtemp(join(tmpdir(), "herd-page-"));
        atEnd(test, () => herd.end());
        for (const [name, text] of Object.entries(files)) await writeFile(join(herd.folder, name), text, { mode: 0o600 });
        let conf = `log_dir = "log"\n${settings}\n[http]\n${http}\n`;
        for (const name of names) {
            const host = freeHost();
            const [lines, web] = [`${host}:${await freePort(host)}`, `${host}:${await freePort(host)}`];
            const neighbours = links.filter(([from]) => from === name).map(([, to]) => to);
            conf += `[servers.${name}]\nlisten = "${lines}"\nhttp.listen = "${web}"\nneighbours = ${JSON.stringify(neighbours)}\n`;
            herd.servers.set(name, new Server(herd, name, lines, `http://${web}`));
        }
        await writeFile(join(herd.folder, "herd.conf"), `${conf}${tables}\n`);
        return herd;
    }

    /** @param {string} name */
    server(name) {
        return /** @type {Server} */ (this.servers.get(name));
    }

    async start() {
        await Promise.all([...this.servers.values()].map((server) => server.start()));
        return this;
    }

    /** What the program says to a command of its user's. @param {string[]} words */
    async run(...words) {
        const { stdout } = await promisify(execFile)(HERD, words, { cwd: this.folder, timeout: HANG_MS });
        return stdout;
    }

    async end() {
        await Promise.all([...this.servers.values()].map((server) => server.kill()));
        await rm(this.folder, { recursive: true, force: true, maxRetries: 5 });
    }
}

export class Server {
    /** @type {import("node:child_process").ChildProcess | null} */
    #child = null;

    constructor(herd, name, lines, url) {
        Object.assign(this, { herd, name, lines, url, token: "" });
    }

    /** Starts it, at the same place as before, and waits until it says that it listens. */
    async start() {
        const child = spawn(HERD, [this.name], { cwd: this.herd.folder, stdio: ["ignore", "pipe", "pipe"] });
        running.add(child);
        this.#child = child;
        child.once("exit", () => running.delete(child));
        let complaint = "";
        child.stderr.on("data", (bytes) => (complaint += bytes));
        const hang = setTimeout(() => child.kill("SIGKILL"), HANG_MS);
        let isReady = false;
        for await (const line of createInterface({ input: child.stdout })) {
            isReady = line.startsWith(`${this.name} listens on `);
            if (isReady) break;
        }
        clearTimeout(hang);
        if (!isReady) throw new Error(`${this.name} did not start: ${complaint}`);
        child.stdout.resume();
        return this;
    }

    /** SIGKILL, as a crash would end it, and the end of it. */
    async kill() {
        const child = this.#child;
        this.#child = null;
        if (!child || child.exitCode !== null || child.signalCode !== null) return;
        const ended = once(child, "exit");
        child.kill("SIGKILL");
        await ended;
    }

    /** @param {NodeJS.Signals} signal */
    signal(signal) {
        this.#child?.kill(signal);
    }

    get #headers() {
        return this.token ? { Authorization: `Bearer ${this.token}` } : {};
    }

    /** Where a client is now, by PUT. */
    async report(id, lat, lon) {
        const answer = await fetch(`${this.url}/v1/clients/${encodeURIComponent(id)}`, {
            method: "PUT",
            headers: { ...this.#headers, "Content-Type": "application/json" },
            body: JSON.stringify({ lat, lon, time: (Date.now() / 1_000).toFixed(9) }),
        });
        if (!answer.ok) throw new Error(`${answer.status} ${await answer.text()}`);
    }

    /** How many streams of events it has to say. */
    async streams() {
        const text = await (await fetch(`${this.url}/metrics`, { headers: this.#headers })).text();
        return Number(/^herd_event_subscribers (\d+)/m.exec(text)?.[1]);
    }

    /** Lines for its line door, on one connection, until each of them is answered. @param {(string | Buffer)[]} lines */
    async tell(lines) {
        const door = this.dial();
        for (const line of lines) door.write(Buffer.concat([Buffer.from(line), Buffer.from("\n")]));
        let answers = 0;
        for await (const bytes of door) {
            answers += bytes.filter((byte) => byte === 10).length;
            if (answers >= lines.length) break;
        }
        door.destroy();
    }

    dial() {
        const [host, port] = this.lines.split(":");
        return createConnection(Number(port), host);
    }

    /** All of its log. */
    log() {
        return readFile(join(this.herd.folder, "log", `${this.name}.log`), "utf8");
    }
}

/** How a position stands in a line. */
const degrees = (value) => `${value < 0 ? "-" : "+"}${Math.abs(value).toFixed(6)}`;

const iamat = ({ id, lat, lon }) => `IAMAT ${id} ${degrees(lat)}${degrees(lon)} ${(Date.now() / 1_000).toFixed(6)}\n`;

/**
 * Clients that drive about until the test is over, each reporting `hz` times a second to one of the servers.
 * @returns {Promise<{reported: number, stop: () => void}>}
 */
export async function drive(servers, count, hz = 1) {
    const cars = Array.from({ length: count }, (_, at) => ({
        id: `car-${at}`,
        lat: Math.asin(2 * Math.random() - 1) * 50,
        lon: Math.random() * 360 - 180,
        turn: Math.random() * 6.28,
    }));
    const doors = servers.map((server) => server.dial());
    for (const door of doors) door.resume().on("error", () => {});
    await Promise.all(doors.map((door) => once(door, "connect")));
    const driving = { reported: 0, stop: () => {} };
    const report = (car, at) => {
        doors[at % doors.length].write(iamat(car));
        driving.reported++;
    };
    cars.forEach(report);
    let [next, last, due] = [0, performance.now(), 0];
    const timer = setInterval(() => {
        const now = performance.now();
        due += ((now - last) * count * hz) / 1_000;
        last = now;
        // Whoever was held up does not make up for it with more than everybody once.
        for (due = Math.min(due, count); due >= 1; due--) {
            const at = next++ % count;
            const car = cars[at];
            car.turn += (Math.random() - 0.5) / 2;
            car.lat = Math.max(-80, Math.min(80, car.lat + Math.sin(car.turn) * 0.15));
            car.lon = ((car.lon + Math.cos(car.turn) * 0.15 + 540) % 360) - 180;
            report(car, at);
        }
    }, 50);
    driving.stop = () => {
        clearInterval(timer);
        for (const door of doors) door.destroy();
    };
    return driving;
}
