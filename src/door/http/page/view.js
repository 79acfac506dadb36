// What part of the world is seen: a centre and a zoom. The map draws it, hands.js moves it.

import { MAX_LAT, latOf, lonOf, wrap, xOf, yOf } from "./mercator.js";

/** @typedef {import("./mercator.js").Place} Place */

const TILE = 256;
const ZOOM_MAX = 19;
/** How near "fit all" goes when everybody is in one place. */
const FIT_ZOOM_MAX = 14;
const GLIDE_MS = 250;

export class View {
    x = 0.5;
    y = 0.42;
    zoom = 1;
    width = 1;
    height = 1;

    #changed;
    #still = matchMedia("(prefers-reduced-motion: reduce)");
    /** @type {{x: number, y: number, zoom: number, fromX: number, fromY: number, fromZoom: number, start: number} | null} */
    #glide = null;

    /** @param {() => void} changed */
    constructor(changed) {
        this.#changed = changed;
    }

    /** Pixels of the world's side. */
    get scale() {
        return TILE * 2 ** this.zoom;
    }

    /** @returns {Place} */
    get centre() {
        return { lat: latOf(this.y), lon: lonOf(this.x) };
    }

    /** One whole world. There is never a second one in sight, so every client is on the map once. */
    get zoomMin() {
        return Math.log2(Math.min(this.width, this.height) / TILE);
    }

    /** The part of the view that the world takes, in pixels; it may be smaller than the view when one sees all of it. */
    get frame() {
        const width = Math.min(this.width, this.scale);
        const height = Math.min(this.height, this.scale);
        return { left: (this.width - width) / 2, top: (this.height - height) / 2, width, height };
    }

    /**
     * @param {number} width
     * @param {number} height
     */
    resize(width, height) {
        [this.width, this.height] = [Math.max(1, width), Math.max(1, height)];
        this.#set(this.x, this.y, this.zoom);
    }

    /** @param {number} x */
    left(x) {
        return this.width / 2 + wrap(x - this.x) * this.scale;
    }

    /** @param {number} y */
    top(y) {
        return this.height / 2 + (y - this.y) * this.scale;
    }

    /**
     * @param {number} x
     * @param {number} y
     * @returns {boolean} whether it is in sight
     */
    holds(x, y) {
        const [left, top] = [this.left(x), this.top(y)];
        return left >= 0 && left <= this.width && top >= 0 && top <= this.height;
    }

    /**
     * @param {number} left
     * @param {number} top
     * @returns {Place}
     */
    placeAt(left, top) {
        const y = this.y + (top - this.height / 2) / this.scale;
        return { lat: latOf(Math.max(0, Math.min(1, y))), lon: lonOf(this.x + (left - this.width / 2) / this.scale) };
    }

    /** @returns {{west: number, south: number, east: number, north: number}} degrees; west > east over the date line */
    get bounds() {
        const [half, across] = [this.height / 2 / this.scale, this.width / 2 / this.scale];
        const whole = across >= 0.4999;
        return {
            west: whole ? -180 : lonOf(this.x - across),
            east: whole ? 180 : lonOf(this.x + across),
            north: Math.min(MAX_LAT, latOf(this.y - half)),
            south: Math.max(-MAX_LAT, latOf(this.y + half)),
        };
    }

    /**
     * @param {number} right pixels by which the world is pushed to the right
     * @param {number} down
     */
    push(right, down) {
        this.#glide = null;
        this.#set(this.x - right / this.scale, this.y - down / this.scale, this.zoom);
    }

    /**
     * @param {number} levels
     * @param {number} left the point that stays where it is
     * @param {number} top
     */
    zoomAt(levels, left, top) {
        this.#glide = null;
        this.#set(...this.#zoomed(levels, left, top));
    }

    /**
     * The same in a glide, from the middle.
     * @param {number} levels
     */
    glideZoom(levels) {
        const { x, y, zoom } = this.#glide ?? this;
        this.glideTo(x, y, zoom + levels);
    }

    /**
     * @param {number} right part of the view's width
     * @param {number} down
     */
    glideBy(right, down) {
        const { x, y, zoom } = this.#glide ?? this;
        this.glideTo(x + (right * this.width) / this.scale, y + (down * this.height) / this.scale, zoom);
    }

    /**
     * @param {Place} place
     * @param {number} [zoom] the least
     */
    show(place, zoom = this.zoom) {
        this.glideTo(xOf(place.lon), yOf(place.lat), Math.max(zoom, this.zoom));
    }

    /**
     * Shows all of these points, over the date line when that is the shorter way.
     * @param {ArrayLike<number>} xs
     * @param {ArrayLike<number>} ys
     * @param {boolean} [atOnce]
     */
    fit(xs, ys, atOnce = false) {
        if (xs.length === 0) return;
        const span = shortestSpan(Float64Array.from(xs));
        // Those who are everywhere are shown on the world as people know it.
        const { west, across } = span.across > 0.8 ? { west: 0, across: 1 } : span;
        let [north, south] = [1, 0];
        for (let i = 0; i < ys.length; i++) [north, south] = [Math.min(north, ys[i]), Math.max(south, ys[i])];
        const room = 56;
        const zoom = Math.min(
            Math.log2(Math.max(40, this.width - 2 * room) / TILE / Math.max(across, 1e-9)),
            Math.log2(Math.max(40, this.height - 2 * room) / TILE / Math.max(south - north, 1e-9)),
            FIT_ZOOM_MAX,
        );
        this.glideTo(west + across / 2, (north + south) / 2, zoom, atOnce);
    }

    /**
     * @param {number} x
     * @param {number} y
     * @param {number} zoom
     * @param {boolean} [atOnce]
     */
    glideTo(x, y, zoom, atOnce = false) {
        if (atOnce || this.#still.matches) {
            this.#glide = null;
            this.#set(x, y, zoom);
            return;
        }
        zoom = this.#zoomIn(zoom);
        this.#glide = { x, y, zoom, fromX: this.x, fromY: this.y, fromZoom: this.zoom, start: performance.now() };
        this.#changed();
    }

    /**
     * Goes on with a glide, if there is one.
     * @param {number} now
     */
    step(now) {
        const glide = this.#glide;
        if (!glide) return;
        const part = Math.min(1, Math.max(0, (now - glide.start) / GLIDE_MS));
        const eased = 1 - (1 - part) ** 3;
        if (part >= 1) this.#glide = null;
        this.#set(
            glide.fromX + wrap(glide.x - glide.fromX) * eased,
            glide.fromY + (glide.y - glide.fromY) * eased,
            glide.fromZoom + (glide.zoom - glide.fromZoom) * eased,
        );
    }

    /**
     * @param {number} levels
     * @param {number} left
     * @param {number} top
     * @returns {[number, number, number]}
     */
    #zoomed(levels, left, top) {
        const zoom = this.#zoomIn(this.zoom + levels);
        const [before, after] = [this.scale, TILE * 2 ** zoom];
        const [right, down] = [left - this.width / 2, top - this.height / 2];
        return [this.x + right / before - right / after, this.y + down / before - down / after, zoom];
    }

    /** @param {number} zoom */
    #zoomIn(zoom) {
        return Math.min(ZOOM_MAX, Math.max(this.zoomMin, zoom));
    }

    /**
     * @param {number} x
     * @param {number} y
     * @param {number} zoom
     */
    #set(x, y, zoom) {
        this.zoom = this.#zoomIn(zoom);
        const half = this.height / 2 / this.scale;
        this.x = wrap(x - 0.5) + 0.5;
        this.y = half >= 0.5 ? 0.5 : Math.min(1 - half, Math.max(half, y));
        this.#changed();
    }
}

/**
 * The shortest stretch round the earth that holds them all: what is left without the widest gap.
 * @param {Float64Array} xs
 */
function shortestSpan(xs) {
    xs.sort();
    let [west, gap] = [xs[0], 1 + xs[0] - xs[xs.length - 1]];
    for (let i = 1; i < xs.length; i++) {
        if (xs[i] - xs[i - 1] > gap) [west, gap] = [xs[i], xs[i] - xs[i - 1]];
    }
    return { west, across: 1 - gap };
}
