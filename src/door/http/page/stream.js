// The one connection to GET /v1/events: opens it, reads it, and opens it again after whatever ends it. hub.js owns it.
// It is read with fetch, not EventSource, which gives up at a 401 or a 502 and does not say which of them it was.

import { EventReader } from "./sse.js";

/** @typedef {import("./sse.js").HerdEvent} HerdEvent */

/**
 * @typedef {object} StreamState
 * @property {"connecting" | "live" | "silent" | "offline" | "refused" | "paused"} kind refused: another token is needed
 * @property {number} since milliseconds since 1970; of "silent" and "offline", when the last byte came
 * @property {number} [status] of the HTTP answer that ended it
 * @property {number} [aheadMs] how far this machine's clock is ahead of the server's
 */

/** The server sends a comment each 15 s: without that it is silent. After two of them the line is dead, e.g. after a sleep. */
const SILENT_MS = 17_000;
const DEAD_MS = 32_000;
/** So is one, sooner, on which nothing comes for several times as long as between its last reads. */
const READS = 12;
const GAPS = 6;
const SILENT_LEAST_MS = 4_000;
/** What comes after so long is a comment, or a herd that moves again. */
const PAUSE_MS = 14_000;
const RETRY_MS = 2_000;
const RETRY_MAX_MS = 30_000;
/** A token that is refused may count again, as soon as somebody mends the server's file of them. */
const REFUSED_MS = 60_000;

export class Stream {
    /** @type {string | null} */
    #token = null;
    #hear;
    #tell;
    /** @type {string | null} */
    #lastId = null;
    #retryMs = RETRY_MS;
    #failures = 0;
    /** The status of the refusal that was told last; 0 when something else was. */
    #refusal = 0;
    #lastByte = Date.now();
    /** When the last few reads were. @type {number[]} */
    #reads = [];
    /** Told last, as what comes next may not differ from it. @type {StreamState["kind"]} */
    #kind = "connecting";
    /** @type {AbortController | null} null while it is stopped */
    #running = null;
    /** Ends the wait for the next attempt. @type {() => void} */
    #wake = () => {};

    /**
     * @param {(events: HerdEvent[]) => void} hear
     * @param {(state: StreamState) => void} tell
     */
    constructor(hear, tell) {
        this.#hear = hear;
        this.#tell = (/** @type {StreamState} */ state) => {
            this.#kind = state.kind;
            tell(state);
        };
    }

    get token() {
        return this.#token;
    }

    /** Another token may show other clients, so it begins with all of them. @param {string | null} token */
    set token(token) {
        if (token !== this.#token) this.#lastId = null;
        this.#token = token;
    }

    start() {
        if (!this.#running) {
            this.#running = new AbortController();
            void this.#run(this.#running);
        }
    }

    stop() {
        this.#running?.abort();
        this.#running = null;
        this.#wake();
        this.#refusal = 0;
        this.#tell({ kind: "paused", since: Date.now() });
    }

    /** Waits no longer for the next attempt. A refusal that goes on is not told again. */
    retry() {
        this.#wake();
    }

    /** Opens a new connection now: there is another token, or the network is back. */
    again() {
        this.#running?.abort();
        this.#running = null;
        this.#wake();
        this.#failures = this.#refusal = 0;
        this.start();
    }

    /** @param {AbortController} running */
    async #run(running) {
        while (!running.signal.aborted) {
            const waitMs = await this.#once(running.signal);
            if (!running.signal.aborted) {
                await new Promise((done) => {
                    this.#wake = () => done(undefined);
                    setTimeout(done, waitMs);
                });
            }
        }
    }

    /**
     * One connection, from its request to its end.
     * @param {AbortSignal} stopped
     * @returns {Promise<number>} milliseconds until the next attempt
     */
    async #once(stopped) {
        // Who is offline is so until there is a connection, and not for the length of each attempt.
        if (!this.#refusal && this.#kind !== "offline") this.#tell({ kind: "connecting", since: this.#lastByte });
        const ended = new AbortController();
        const end = () => ended.abort();
        stopped.addEventListener("abort", end);
        let heard = Date.now();
        this.#reads = [];
        const watch = setInterval(() => {
            const silence = Date.now() - heard;
            if (silence > DEAD_MS) end();
            else if (this.#kind === "live" && silence > this.#silentMs()) this.#tell({ kind: "silent", since: heard });
        }, 1_000);
        try {
            const answer = await fetch(this.#address(), { headers: this.#headers(), signal: ended.signal, cache: "no-store" });
            if (!answer.ok || !answer.body) return this.#refused(answer);
            this.#refusal = 0;
            this.#tell({ kind: "connecting", since: this.#lastByte, aheadMs: aheadMs(answer) });
            const reader = new EventReader();
            for (const body = answer.body.getReader(); ;) {
                const { done, value } = await body.read();
                if (done || stopped.aborted) break;
                const now = Date.now();
                this.#reads = now - heard > PAUSE_MS ? [] : [...this.#reads, now].slice(-READS);
                heard = this.#lastByte = now;
                if (this.#kind === "silent") this.#tell({ kind: "live", since: heard });
                this.#take(reader, reader.read(value));
            }
        } catch {
            // No connection, or it broke: said below like an end of the stream.
        } finally {
            clearInterval(watch);
            stopped.removeEventListener("abort", end);
        }
        if (!stopped.aborted) {
            this.#refusal = 0;
            this.#tell({ kind: "offline", since: this.#lastByte });
        }
        return this.#backoffMs();
    }

    /**
     * @param {EventReader} reader
     * @param {HerdEvent[]} events
     */
    #take(reader, events) {
        // A snapshot that breaks off has to come again whole, so the id of before it is of no use any more.
        if (events.some((event) => event.name === "snapshot")) this.#lastId = null;
        if (reader.id) this.#lastId = reader.id;
        if (reader.retryMs) this.#retryMs = reader.retryMs;
        if (events.length === 0) return;
        this.#hear(events);
        if (events.some((event) => event.name === "caught-up")) {
            this.#failures = 0;
            this.#tell({ kind: "live", since: Date.now() });
        }
    }

    /** @param {Response} answer */
    #refused(answer) {
        void answer.body?.cancel();
        if (answer.status === 401 || answer.status === 403) {
            if (this.#refusal !== answer.status) this.#tell({ kind: "refused", since: this.#lastByte, status: answer.status });
            this.#refusal = answer.status;
            return partOf(REFUSED_MS);
        }
        this.#refusal = 0;
        if (answer.status === 400) this.#lastId = null;
        this.#tell({ kind: "offline", since: this.#lastByte, status: answer.status });
        const afterS = Number(answer.headers.get("Retry-After"));
        return afterS > 0 ? afterS * 1_000 * (1 + Math.random()) : this.#backoffMs();
    }

    /** After how much silence it is told. */
    #silentMs() {
        const reads = this.#reads;
        if (reads.length < READS) return SILENT_MS;
        return Math.min(SILENT_MS, Math.max(SILENT_LEAST_MS, (GAPS * (reads[READS - 1] - reads[0])) / (READS - 1)));
    }

    /** Doubles with each failure, and is drawn by lot, so that a thousand pages do not come back at one moment. */
    #backoffMs() {
        const most = Math.min(RETRY_MAX_MS, this.#retryMs * 2 ** this.#failures++);
        return partOf(most);
    }

    #address() {
        const address = new URL("/v1/events", self.location.origin);
        if (this.#lastId) address.searchParams.set("last_event_id", this.#lastId);
        return address;
    }

    /** @returns {Record<string, string>} */
    #headers() {
        const accept = { Accept: "text/event-stream" };
        return this.#token ? { ...accept, Authorization: `Bearer ${this.#token}` } : accept;
    }
}

/** @param {number} ms */
const partOf = (ms) => ms * (0.5 + Math.random() / 2);

/** @param {Response} answer */
function aheadMs(answer) {
    const date = Date.parse(answer.headers.get("Date") ?? "");
    // The header has whole seconds, so on average the server is half a second further.
    return Number.isNaN(date) ? 0 : Date.now() - date - 500;
}
