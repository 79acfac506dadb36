// Draws what does not move by itself: sea, land, borders or the user's tiles, the graticule, and towns.
// map.js calls it when the view has changed.

import { loadOutline } from "./outline.js";
import { lonOf, xOf, yOf } from "./mercator.js";
import { texts } from "./texts.js";

/**
 * @typedef {import("./view.js").View} View
 * @typedef {import("./colours.js").Colours} Colours
 * @typedef {import("./outline.js").Outline} Outline
 * @typedef {import("./tiles.js").Tiles} Tiles
 * @typedef {import("./room.js").Room} Room
 * @typedef {{name: string, lat: number, lon: number}} Town
 */

/** From here on the finer outline is worth its points. */
const FINE_ZOOM = 3;
const GRID_DEGREES = [30, 15, 10, 5, 2, 1, 0.5, 0.2, 0.1, 0.05, 0.02, 0.01, 0.005, 0.002, 0.001];
const GRID_PIXELS = 110;
/** Of the whole world, where the lines are nearer to each other: what a label of whole degrees needs. */
const COARSE_DEGREES = [30, 60, 90];
const COARSE_PIXELS = 58;

/** Where the middle of a town's name may be: below its dot, above, to the right, to the left. @type {[number, number, number][]} */
const SIDES = [[0, 10, 0], [0, -11, 0], [1, 0, 6], [-1, 0, -6]];
/** In the room of dots.js. */
const LABEL = -3;
const TOWN = -4;

export class Ground {
    /** @type {Town[]} */
    towns = [];
    /** Those whose names are drawn, and where the middle of the name is. @type {{name: string, left: number, top: number}[]} */
    named = [];
    #pen;
    #changed;
    #tiles;
    /** @type {Outline | null} */
    #coarse = null;
    /** @type {Outline | "loading" | null} */
    #fine = null;

    /**
     * @param {HTMLCanvasElement} canvas
     * @param {Tiles | null} tiles
     * @param {() => void} changed what is drawn is not all there is any more
     */
    constructor(canvas, tiles, changed) {
        this.#pen = /** @type {CanvasRenderingContext2D} */ (canvas.getContext("2d", { alpha: false }));
        this.#tiles = tiles;
        this.#changed = changed;
        loadOutline("world-110m.bin").then((outline) => {
            this.#coarse = outline;
            changed();
        }, () => {});
    }

    /**
     * @param {View} view
     * @param {Colours} colours
     * @param {number} ratio
     * @param {Room} room what clients have left of it
     */
    draw(view, colours, ratio, room) {
        const pen = this.#pen;
        pen.setTransform(ratio, 0, 0, ratio, 0, 0);
        pen.fillStyle = colours.outside;
        pen.fillRect(0, 0, view.width, view.height);
        const { left, top, width, height } = view.frame;
        pen.save();
        pen.beginPath();
        pen.rect(left, top, width, height);
        pen.clip();
        pen.fillStyle = colours.sea;
        pen.fillRect(left, top, width, height);
        this.#world(view, colours, ratio);
        pen.setTransform(ratio, 0, 0, ratio, 0, 0);
        this.#tiles?.draw(pen, view);
        pen.font = "12px system-ui, sans-serif";
        pen.lineJoin = "round";
        this.#graticule(view, colours, room);
        this.#drawTowns(view, colours, room);
        pen.restore();
    }

    /** @param {View} view */
    #outline(view) {
        if (view.zoom < FINE_ZOOM) return this.#coarse;
        if (this.#fine === null) {
            this.#fine = "loading";
            loadOutline("world-50m.bin").then((outline) => {
                this.#fine = outline;
                this.#changed();
            }, () => (this.#fine = null));
        }
        return this.#fine === "loading" ? this.#coarse : this.#fine;
    }

    /**
     * @param {View} view
     * @param {Colours} colours
     * @param {number} ratio
     */
    #world(view, colours, ratio) {
        const [pen, outline] = [this.#pen, this.#outline(view)];
        if (!outline) return;
        const { scale } = view;
        const [across, down] = [view.width / 2 / scale, view.height / 2 / scale];
        for (const copy of [-1, 0, 1]) {
            const [west, east] = [view.x - copy - across, view.x - copy + across];
            const isSeen = (/** @type {import("./outline.js").Shape} */ shape) =>
                shape.east >= west && shape.west <= east && shape.south >= view.y - down && shape.north <= view.y + down;
            const left = view.width / 2 - (view.x - copy) * scale;
            const top = view.height / 2 - view.y * scale;
            pen.setTransform(ratio * scale, 0, 0, ratio * scale, ratio * left, ratio * top);
            pen.fillStyle = colours.land;
            pen.strokeStyle = colours.coast;
            pen.lineWidth = 1 / scale;
            for (const shape of outline.land.filter(isSeen)) {
                pen.fill(shape.path, "evenodd");
                pen.stroke(shape.edge ?? shape.path);
            }
            pen.strokeStyle = colours.border;
            for (const shape of outline.borders.filter(isSeen)) pen.stroke(shape.path);
        }
    }

    /**
     * @param {View} view
     * @param {Colours} colours
     * @param {Room} room
     */
    #graticule(view, colours, room) {
        const pen = this.#pen;
        const pixels = (/** @type {number} */ degrees) => (degrees / 360) * view.scale;
        const step = GRID_DEGREES.findLast((degrees) => pixels(degrees) >= GRID_PIXELS) ?? COARSE_DEGREES.find((degrees) => pixels(degrees) >= COARSE_PIXELS) ?? 180;
        const digits = Math.max(0, Math.ceil(-Math.log10(step)));
        const { north, south } = view.bounds;
        const frame = view.frame;
        const west = (view.x - frame.width / 2 / view.scale - 0.5) * 360;
        const east = west + (frame.width / view.scale) * 360;
        /** @type {[string, number, number][]} */
        const labels = [];
        pen.beginPath();
        for (let at = Math.ceil(west / step); at * step < east; at++) {
            const left = frame.left + ((at * step - west) / 360) * view.scale;
            pen.moveTo(left, frame.top);
            pen.lineTo(left, frame.top + frame.height);
            labels.push([texts.longitude(lonOf(xOf(at * step)), digits), left + 3, frame.top + 9]);
        }
        const stepUp = Math.min(30, step);
        for (let lat = Math.ceil(south / stepUp) * stepUp; lat <= north; lat += stepUp) {
            const top = view.top(yOf(lat));
            pen.moveTo(0, top);
            pen.lineTo(view.width, top);
            if (top > frame.top + 24) labels.push([texts.latitude(lat, digits), frame.left + 3, top - 7]);
        }
        pen.strokeStyle = colours.grid;
        pen.lineWidth = 1;
        pen.stroke();
        pen.textAlign = "left";
        pen.textBaseline = "middle";
        pen.font = "11px system-ui, sans-serif";
        for (const [label, left, top] of labels) {
            if (room.take(left, top - 6, left + 6 * label.length, top + 6, LABEL)) this.#write(label, left, top, colours.town, colours);
        }
    }

    /**
     * The largest ones first; a name for which there is no room on any side of its town is left out.
     * @param {View} view
     * @param {Colours} colours
     * @param {Room} room
     */
    #drawTowns(view, colours, room) {
        const pen = this.#pen;
        pen.font = "12px system-ui, sans-serif";
        pen.textAlign = "center";
        this.named = [];
        this.towns.forEach(({ name, lat, lon }, at) => {
            const [left, top] = [view.left(xOf(lon)), view.top(yOf(lat))];
            if (left < 0 || left > view.width || top < 0 || top > view.height) return;
            const half = pen.measureText(name).width / 2;
            const owner = TOWN - at;
            for (const [aside, down, gap] of SIDES) {
                const [middle, line] = [left + aside * half + gap, top + down];
                if (!room.take(middle - half - 3, line - 7, middle + half + 3, line + 7, owner)) continue;
                room.mark(left, top, 2, owner);
                pen.fillStyle = colours.town;
                pen.fillRect(left - 1.5, top - 1.5, 3, 3);
                this.#write(name, middle, line, colours.town, colours);
                this.named.push({ name, left: middle, top: line });
                break;
            }
        });
    }

    /**
     * @param {string} text
     * @param {number} left
     * @param {number} top
     * @param {string} colour
     * @param {Colours} colours
     */
    #write(text, left, top, colour, colours) {
        const pen = this.#pen;
        pen.strokeStyle = colours.halo;
        pen.lineWidth = 3;
        pen.strokeText(text, left, top);
        pen.fillStyle = colour;
        pen.fillText(text, left, top);
    }
}
