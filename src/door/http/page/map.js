// The map: two canvases, one above the other, and the loop that draws them when there is something new. main.js owns it.

import { Dots } from "./dots.js";
import { Ground } from "./ground.js";
import { Tiles } from "./tiles.js";
import { View } from "./view.js";
import { colours, onColours } from "./colours.js";

/** @typedef {import("./fleet.js").Fleet} Fleet */

/** Below that many frames a second clients jump instead of gliding, and are drawn ten times a second. */
const SLOW_MS = 1_000 / 22;
const SLOW_DRAW_MS = 100;
/** After so long gliding is tried again. */
const SLOW_FOR_MS = 10_000;
/** One long frame counts as so much and no more: everybody comes at once when the page is opened, and that passes. */
const GAP_MAX_MS = 80;
const REST_MS = 250;

export class WorldMap {
    view = new View(() => this.#moved());
    /** @type {import("./dots.js").Followed | null} */
    followed = null;
    wishes = { clusters: true, names: false };
    /** Frames in which clients were drawn. */
    frames = 0;
    /** Told when the view has come to rest. */
    onRest = () => {};

    #fleet;
    #area;
    #canvases;
    #ground;
    #dots;
    #colours = colours();
    #ratio = 1;
    #groundIsOld = true;
    #dotsAreOld = true;
    #drawnAt = 0;
    #drawnVersion = -1;
    #isAsked = false;
    #rest = 0;
    #still = matchMedia("(prefers-reduced-motion: reduce)");
    #lastFrame = 0;
    #gapMs = 16;
    #slowUntil = 0;

    /**
     * @param {HTMLElement} area
     * @param {HTMLCanvasElement} ground
     * @param {HTMLCanvasElement} dots
     * @param {Fleet} fleet
     * @param {string | undefined} tiles
     */
    constructor(area, ground, dots, fleet, tiles) {
        this.#fleet = fleet;
        this.#area = area;
        this.#canvases = [ground, dots];
        this.#ground = new Ground(ground, tiles ? new Tiles(tiles, () => this.redraw()) : null, () => this.redraw());
        this.#dots = new Dots(dots);
        new ResizeObserver(() => this.#resize()).observe(area);
        onColours(() => this.#resize());
        this.#resize();
    }

    /** Names of towns that are drawn, and where. */
    get named() {
        return this.#ground.named;
    }

    get towns() {
        return this.#ground.towns;
    }

    /** @param {import("./ground.js").Town[]} towns */
    set towns(towns) {
        this.#ground.towns = towns;
        this.redraw();
    }

    /** Everything anew with the next frame. */
    redraw() {
        this.#groundIsOld = true;
        this.touch();
    }

    /** Called each second: towns make way for clients that have moved, where they are few. */
    tick() {
        const { version } = this.#fleet;
        if (this.#dots.isSparse && version !== this.#drawnVersion) this.#groundIsOld = true;
        this.#drawnVersion = version;
        this.touch();
    }

    /** The clients anew with the next frame. */
    touch() {
        this.#dotsAreOld = true;
        if (this.#isAsked) return;
        this.#isAsked = true;
        requestAnimationFrame((now) => this.#frame(now));
    }

    /**
     * @param {number} left
     * @param {number} top
     * @param {number} reach
     * @returns {string[]} the clients drawn there
     */
    clientsAt(left, top, reach) {
        return this.#dots.cells.at(this.#fleet, left, top, reach, this.wishes.clusters);
    }

    #moved() {
        clearTimeout(this.#rest);
        this.#rest = Number(setTimeout(() => this.onRest(), REST_MS));
        this.redraw();
    }

    #resize() {
        const { clientWidth, clientHeight } = this.#area;
        this.#ratio = Math.min(2, devicePixelRatio || 1);
        for (const canvas of this.#canvases) {
            canvas.width = Math.max(1, Math.round(clientWidth * this.#ratio));
            canvas.height = Math.max(1, Math.round(clientHeight * this.#ratio));
        }
        this.#colours = colours();
        this.#dots.dress(this.#colours, this.#ratio);
        this.view.resize(clientWidth, clientHeight);
        // A canvas that was resized is empty until it is drawn.
        this.#draw(performance.now(), false);
    }

    /** @param {number} now */
    #frame(now) {
        this.#isAsked = false;
        this.#measure(now);
        // Asks for the next frame itself while it glides.
        this.view.step(now);
        const isSlow = now < this.#slowUntil;
        const glides = !isSlow && !this.#still.matches && now < this.#fleet.glidesUntil;
        if (this.#groundIsOld || !isSlow || now - this.#drawnAt >= SLOW_DRAW_MS) this.#draw(now, glides);
        if (glides || this.#dotsAreOld) this.touch();
    }

    /**
     * @param {number} now
     * @param {boolean} glides
     */
    #draw(now, glides) {
        this.#dots.draw(this.#fleet, this.view, this.followed, { ...this.wishes, glides }, now, this.#groundIsOld);
        // Behind the clients, so that names of towns are not where theirs are.
        if (this.#groundIsOld) this.#ground.draw(this.view, this.#colours, this.#ratio, this.#dots.room);
        this.#groundIsOld = false;
        this.#dotsAreOld = false;
        this.#drawnAt = now;
        this.frames++;
    }

    /** @param {number} now */
    #measure(now) {
        const gap = now - this.#lastFrame;
        this.#lastFrame = now;
        // A longer gap is a rest, not a slow frame.
        if (gap > 500) return;
        this.#gapMs += (Math.min(gap, GAP_MAX_MS) - this.#gapMs) * 0.05;
        if (this.#gapMs > SLOW_MS && now > this.#slowUntil) {
            this.#slowUntil = now + SLOW_FOR_MS;
            this.#gapMs = 16;
        }
    }
}
