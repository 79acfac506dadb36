// Says how things stand with the stream: live, behind, offline. main.js tells it what the hub says.

import { FRESH, ageOf, serverNow } from "./clock.js";
import { byId, say } from "./dom.js";
import { texts } from "./texts.js";

/**
 * @typedef {import("./stream.js").StreamState} StreamState
 * @typedef {import("./sse.js").HerdEvent} HerdEvent
 */

const chip = byId("state", HTMLElement);
const words = byId("state-words", HTMLElement);
const summary = byId("summary", HTMLElement);

/** The herd tells whole seconds, and a server may be a second away. */
const BEHIND_S = 3;
/** A late report is told for so long, unless others follow. */
const LATE_FOR_MS = 3_000;
const SUMMARY_MS = 10_000;

export class State {
    #fleet;
    /** @type {StreamState} */
    #stream = { kind: "connecting", since: Date.now() };
    #behindS = 0;
    #lateUntil = 0;
    #summaryAt = 0;
    #isComplete = false;
    /** Why the server does not answer other questions, in words. While there is such a thing nothing is sure. */
    trouble = "";

    /** @param {import("./fleet.js").Fleet} fleet */
    constructor(fleet) {
        this.#fleet = fleet;
    }

    get isLive() {
        return this.#stream.kind === "live";
    }

    /** @param {StreamState} stream */
    set stream(stream) {
        this.#stream = stream;
        this.show();
    }

    /**
     * How late the newest of what came is. What came before "caught-up" was late on purpose.
     * @param {HerdEvent[]} events
     */
    heard(events) {
        let newest = 0;
        for (const event of events) {
            if (event.name === "snapshot") this.#isComplete = false;
            else if (event.name === "caught-up") this.#isComplete = true;
            else if (event.name === "position") newest = Math.max(newest, event.data.received);
        }
        if (newest === 0 || this.#stream.kind !== "live") return;
        this.#behindS = serverNow() - newest;
        this.#lateUntil = Date.now() + LATE_FOR_MS;
    }

    /** @returns {[string, string]} a class of the style sheet, and words */
    #now() {
        const { kind, since, status } = this.#stream;
        if (!navigator.onLine && kind !== "live" && kind !== "silent") return ["offline", texts.offline(since, texts.noNetwork)];
        switch (kind) {
            case "silent":
                return ["behind", texts.silent((Date.now() - since) / 1_000)];
            case "live":
                if (this.trouble) return ["behind", this.trouble];
                return Date.now() < this.#lateUntil && this.#behindS >= BEHIND_S ? ["behind", texts.behind(this.#behindS)] : ["live", texts.live];
            case "refused":
                return ["offline", texts.signInNeeded];
            case "offline":
                return ["offline", texts.offline(since, status ? texts.status(status) : "")];
            default: {
                if (!this.#fleet.count) return ["behind", texts.connecting];
                const seconds = (Date.now() - since) / 1_000;
                return ["behind", this.#isComplete && seconds >= BEHIND_S ? texts.behind(seconds) : texts.catchingUp];
            }
        }
    }

    /** Called each second, so that what is told ticks. */
    show() {
        const [kind, text] = this.#now();
        if (chip.className !== kind) chip.className = kind;
        say(words, text);
        if (Date.now() - this.#summaryAt < SUMMARY_MS) return;
        this.#summaryAt = Date.now();
        say(summary, texts.summary(text, this.#fleet.count, this.#countFresh()));
    }

    #countFresh() {
        const now = serverNow();
        let fresh = 0;
        for (let slot = 0; slot < this.#fleet.count; slot++) if (ageOf(now - this.#fleet.received[slot]) === FRESH) fresh++;
        return fresh;
    }
}
