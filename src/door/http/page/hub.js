// Owns the one stream of a browser and knows the newest of everybody, so that a tab that opens later gets it at once.
// It lives in the shared worker (worker.js), or in the tab that leads (tabs.js).

import { Stream } from "./stream.js";

/**
 * @typedef {import("./sse.js").HerdEvent} HerdEvent
 * @typedef {import("./stream.js").StreamState} StreamState
 * @typedef {{events: HerdEvent[]} | {state: StreamState} | {token: string} | {forget: true}} ToTab
 * @typedef {{hello: {token: string | null, visible: boolean}} | {token: string} | {visible: boolean} | {answers: true} | {forget: true} | {bye: true}} ToHub
 *     `token` is one that was just typed; `answers` that the server does; `forget` is for the token and for all that it has shown
 * @typedef {{postMessage(message: ToTab): void}} Tab
 */

/** With no tab in sight for so long the stream is closed; it is resumed when one is looked at again. */
const UNSEEN_MS = 30_000;

export class Hub {
    /** What a tab is told of the herd, newest of each client. @type {Map<string, {event: HerdEvent, round: number}>} */
    #clients = new Map();
    /** @type {Map<string, HerdEvent>} */
    #links = new Map();
    /** Counts snapshots: whoever is not of the newest when it is complete is gone. */
    #round = 0;
    #server = "";
    #isComplete = false;
    /** Each tab, and whether somebody can see it. @type {Map<Tab, boolean>} */
    #tabs = new Map();
    /** @type {StreamState} */
    #state = { kind: "connecting", since: Date.now() };
    #unseen = 0;
    #stream = new Stream(
        (events) => this.#heard(events),
        (state) => this.#changed(state),
    );

    constructor() {
        self.addEventListener("online", () => this.#isSeen() && (this.#state.kind === "refused" ? this.#stream.retry() : this.#stream.again()));
    }

    /** Ends the stream and forgets the tabs. */
    close() {
        clearTimeout(this.#unseen);
        this.#tabs.clear();
        this.#stream.stop();
    }

    /**
     * @param {Tab} tab
     * @param {ToHub} message
     */
    take(tab, message) {
        if ("hello" in message) {
            this.#tabs.set(tab, message.hello.visible);
            if (this.#stream.token && !message.hello.token) tab.postMessage({ token: this.#stream.token });
            else if (!this.#stream.token || this.#state.kind === "refused") this.#use(message.hello.token);
            tab.postMessage({ events: this.#everybody() });
            tab.postMessage({ state: this.#state });
        } else if ("token" in message) {
            this.#use(message.token);
            for (const other of this.#tabs.keys()) if (other !== tab) other.postMessage({ token: message.token });
        } else if ("forget" in message) {
            this.#forget();
            return;
        } else if ("answers" in message) {
            this.#answers();
            return;
        } else if ("visible" in message) {
            this.#tabs.set(tab, message.visible);
        } else {
            this.#tabs.delete(tab);
        }
        this.#attend();
    }

    /** The server is back, so the stream need not wait, unless it was told to. */
    #answers() {
        const { kind, status = 0 } = this.#state;
        if (kind === "offline" && status !== 429 && status !== 503) this.#stream.retry();
    }

    /** @param {string | null} token */
    #use(token) {
        // One that was refused may count again, and is typed again then.
        if (token === this.#stream.token && this.#state.kind !== "refused") return;
        this.#stream.token = token;
        this.#stream.again();
    }

    /** Every tab begins anew, and so with it the stream. */
    #forget() {
        this.#stream.stop();
        this.#stream.token = null;
        this.#clients.clear();
        this.#links.clear();
        this.#isComplete = false;
        for (const tab of this.#tabs.keys()) tab.postMessage({ forget: true });
    }

    #isSeen() {
        return [...this.#tabs.values()].some((visible) => visible);
    }

    /** Runs the stream while somebody looks. */
    #attend() {
        clearTimeout(this.#unseen);
        if (this.#isSeen()) {
            if (this.#state.kind === "offline") this.#stream.again();
            else if (this.#state.kind === "refused") this.#stream.retry();
            else this.#stream.start();
        } else {
            this.#unseen = Number(setTimeout(() => this.#stream.stop(), UNSEEN_MS));
        }
    }

    /** The state of now as events of the wire. */
    #everybody() {
        /** @type {HerdEvent[]} */
        const events = [{ name: "snapshot", data: { server: this.#server } }, ...this.#links.values()];
        for (const { event, round } of this.#clients.values()) if (round === this.#round) events.push(event);
        if (this.#isComplete) events.push({ name: "caught-up", data: {} });
        return events;
    }

    /** @param {HerdEvent[]} events */
    #heard(events) {
        for (const event of events) this.#keep(event);
        for (const tab of this.#tabs.keys()) tab.postMessage({ events });
    }

    /** @param {HerdEvent} event */
    #keep(event) {
        switch (event.name) {
            case "snapshot":
                this.#round++;
                this.#isComplete = false;
                this.#server = event.data.server;
                break;
            case "position":
                this.#clients.set(event.data.id, { event, round: this.#round });
                break;
            case "gone":
                this.#clients.delete(event.data.id);
                break;
            case "link":
                this.#links.set(`${event.data.server}\n${event.data.neighbour}`, event);
                break;
            case "caught-up":
                this.#isComplete = true;
                for (const [id, { round }] of this.#clients) if (round !== this.#round) this.#clients.delete(id);
                break;
        }
    }

    /** @param {StreamState} state */
    #changed(state) {
        this.#state = { aheadMs: this.#state.aheadMs, ...state };
        for (const tab of this.#tabs.keys()) tab.postMessage({ state: this.#state });
    }
}
