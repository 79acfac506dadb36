// Everybody whom the herd knows, as this tab knows it: columns of numbers, so that ten thousand cost the map no objects.
// main.js feeds it; the map and the table read it. Slots are dense: 0 up to `count`, in no order, and change when one goes.

import { MAX_LAT, wrap, xOf, yOf } from "./mercator.js";
import { visible } from "./names.js";

/** @typedef {import("./sse.js").Position} Position */

/** A client is drawn on its way from one report to the next for so long. */
export const GLIDE_MS = 600;

export class Fleet {
    count = 0;
    /** @type {string[]} */
    ids = [];
    /** The same as they are shown. @type {string[]} */
    names = [];
    /** @type {string[]} */
    times = [];
    /** @type {string[]} */
    servers = [];
    lat = new Float64Array(256);
    lon = new Float64Array(256);
    /** Seconds since 1970. */
    received = new Float64Array(256);
    x = new Float64Array(256);
    y = new Float64Array(256);
    fromX = new Float64Array(256);
    fromY = new Float64Array(256);
    /** By performance.now(). */
    movedAt = new Float64Array(256);
    /** 1 where the filter leaves it out. */
    hidden = new Uint8Array(256);
    /** -1 south, 1 north of what the map shows, else 0. */
    beyond = new Int8Array(256);
    /** Until then, by performance.now(), somebody is on the way. */
    glidesUntil = 0;
    /** Changes whenever somebody comes, moves or goes. */
    version = 0;

    #round = new Uint32Array(256);
    #rounds = 0;
    /** @type {Map<string, number>} */
    #slots = new Map();

    /** @param {string} id */
    slotOf(id) {
        return this.#slots.get(id);
    }

    /** From here on, whoever is not told again until `sweep` is gone. */
    begin() {
        this.#rounds++;
    }

    sweep() {
        for (let slot = this.count - 1; slot >= 0; slot--) {
            if (this.#round[slot] !== this.#rounds) this.delete(this.ids[slot]);
        }
    }

    /**
     * @param {Position} position
     * @param {number} now
     * @returns {boolean} whether it is a client that was not here
     */
    set(position, now) {
        const known = this.#slots.get(position.id);
        const slot = known ?? this.#add(position.id);
        const [x, y] = [xOf(position.lon), yOf(position.lat)];
        if (known === undefined) {
            [this.fromX[slot], this.fromY[slot], this.movedAt[slot]] = [x, y, 0];
        } else if (x !== this.x[slot] || y !== this.y[slot]) {
            // It goes on from where it is drawn now.
            const left = 1 - this.#partOfWay(slot, now);
            this.fromX[slot] = this.x[slot] - wrap(this.x[slot] - this.fromX[slot]) * left;
            this.fromY[slot] = this.y[slot] - (this.y[slot] - this.fromY[slot]) * left;
            this.movedAt[slot] = now;
            this.glidesUntil = now + GLIDE_MS;
        }
        [this.x[slot], this.y[slot], this.lat[slot], this.lon[slot]] = [x, y, position.lat, position.lon];
        this.received[slot] = position.received;
        this.times[slot] = position.time;
        this.servers[slot] = position.server;
        this.beyond[slot] = position.lat > MAX_LAT ? 1 : position.lat < -MAX_LAT ? -1 : 0;
        this.#round[slot] = this.#rounds;
        this.version++;
        return known === undefined;
    }

    /**
     * @param {number} slot
     * @param {number} now
     */
    #partOfWay(slot, now) {
        return Math.min(1, (now - this.movedAt[slot]) / GLIDE_MS);
    }

    /** @param {string} id */
    delete(id) {
        const slot = this.#slots.get(id);
        if (slot === undefined) return;
        const last = --this.count;
        this.#slots.delete(id);
        if (slot !== last) {
            for (const column of this.#columns()) column[slot] = column[last];
            for (const column of [this.ids, this.names, this.times, this.servers]) column[slot] = column[last];
            this.#slots.set(this.ids[slot], slot);
        }
        for (const column of [this.ids, this.names, this.times, this.servers]) column.length = last;
        this.version++;
    }

    /** @param {string} id */
    #add(id) {
        const slot = this.count++;
        if (slot === this.x.length) this.#grow();
        this.ids[slot] = id;
        this.names[slot] = visible(id);
        this.hidden[slot] = 0;
        this.#slots.set(id, slot);
        return slot;
    }

    #columns() {
        return [this.lat, this.lon, this.received, this.x, this.y, this.fromX, this.fromY, this.movedAt, this.hidden, this.beyond, this.#round];
    }

    #grow() {
        const size = this.x.length * 2;
        const wider = (/** @type {Float64Array} */ column) => {
            const copy = new Float64Array(size);
            copy.set(column);
            return copy;
        };
        [this.lat, this.lon, this.received] = [wider(this.lat), wider(this.lon), wider(this.received)];
        [this.x, this.y, this.fromX, this.fromY] = [wider(this.x), wider(this.y), wider(this.fromX), wider(this.fromY)];
        this.movedAt = wider(this.movedAt);
        const [hidden, beyond, round] = [this.hidden, this.beyond, this.#round];
        [this.hidden, this.beyond, this.#round] = [new Uint8Array(size), new Int8Array(size), new Uint32Array(size)];
        this.hidden.set(hidden);
        this.beyond.set(beyond);
        this.#round.set(round);
    }
}
