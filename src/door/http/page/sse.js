// Bytes of a text/event-stream into the events of the herd. Used by stream.js alone.

/**
 * @typedef {{id: string, lat: number, lon: number, time: string, server: string, received: number, entered?: boolean}} Position
 *     `time` is the client's own clock, as text; `received` is when the herd heard it, in seconds since 1970
 * @typedef {{server: string, neighbour: string, up: boolean}} Link
 * @typedef {{name: "snapshot", data: {server: string}}
 *     | {name: "position", data: Position}
 *     | {name: "gone", data: {id: string, why: string}}
 *     | {name: "link", data: Link}
 *     | {name: "caught-up", data: object}} HerdEvent
 */

const NAMES = new Set(["snapshot", "position", "gone", "link", "caught-up"]);

export class EventReader {
    /** The last `id` line, for the resumption. @type {string | null} */
    id = null;
    /** The last `retry` line. @type {number | null} */
    retryMs = null;

    #text = new TextDecoder();
    #rest = "";
    #name = "";
    #data = "";

    /**
     * @param {Uint8Array} bytes
     * @returns {HerdEvent[]} what is complete with them; names that this page does not know are left out
     */
    read(bytes) {
        const text = this.#rest + this.#text.decode(bytes, { stream: true });
        /** @type {HerdEvent[]} */
        const events = [];
        let from = 0;
        for (let to; (to = text.indexOf("\n", from)) >= 0; from = to + 1) {
            this.#line(text.slice(from, text[to - 1] === "\r" ? to - 1 : to), events);
        }
        this.#rest = text.slice(from);
        return events;
    }

    /**
     * @param {string} line
     * @param {HerdEvent[]} events
     */
    #line(line, events) {
        if (line === "") {
            if (this.#data && NAMES.has(this.#name)) {
                events.push(/** @type {HerdEvent} */ ({ name: this.#name, data: JSON.parse(this.#data) }));
            }
            this.#name = this.#data = "";
            return;
        }
        const colon = line.indexOf(":");
        const value = line.slice(colon + (line[colon + 1] === " " ? 2 : 1));
        switch (line.slice(0, colon)) {
            case "event":
                this.#name = value;
                break;
            case "data":
                this.#data += value;
                break;
            case "id":
                this.id = value;
                break;
            case "retry":
                this.retryMs = Number(value) || null;
                break;
        }
    }
}
