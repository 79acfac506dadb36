// Draws the clients: a shape and a colour by age, numbers for crowds, names where there is room, the followed one with
// its trail, and an arrow at the edge when it is out of sight. map.js calls it once a frame.

import { Cells } from "./cells.js";
import { FRESH, OLD, STALE, ageOf, serverNow } from "./clock.js";
import { Room } from "./room.js";
import { keepCorner, scaleBar } from "./scale-bar.js";
import { shorten } from "./names.js";

/**
 * @typedef {import("./fleet.js").Fleet} Fleet
 * @typedef {import("./view.js").View} View
 * @typedef {import("./colours.js").Colours} Colours
 * @typedef {{id: string, trail: {x: number, y: number}[]}} Followed
 * @typedef {{clusters: boolean, names: boolean, glides: boolean}} Wishes
 */

const SPRITE = 18;
/** So many markers are written into the picture by hand: asking the canvas for each of them takes several times as long. */
const BY_HAND = 1_000;
const NAMES_MAX = 150;
/** Of a name, on the map. */
const LETTERS_MAX = 24;
/** No letter is wider, in pixels. */
const LETTER_MAX = 16;
/** The dot of a marker, and half of a name's height. */
const DOT = 4;
const HALF = 7;
/** From the middle of a marker to its name. */
const GAP = 10;
/** Of the followed one, whose room nobody else's name takes. */
const FOLLOWED = 1e9;
/** Kinds of a sprite after the ages. */
const NORTH = 3;
const SOUTH = 4;

export class Dots {
    cells = new Cells();
    /** What clients and their names take. */
    room = new Room();
    /** Whether they are so few that others may make way for each of them whenever it moves. */
    isSparse = true;
    #pen;
    /** @type {HTMLCanvasElement[]} */
    #sprites = [];
    /** The same, and the whole picture, as numbers; null until there are many. @type {Stamps | null} */
    #stamps = null;
    /** @type {Colours | null} */
    #colours = null;
    #ratio = 1;

    /** @param {HTMLCanvasElement} canvas */
    constructor(canvas) {
        this.#pen = /** @type {CanvasRenderingContext2D} */ (canvas.getContext("2d"));
    }

    /**
     * @param {Colours} colours
     * @param {number} ratio pixels of the device in one of the style sheet
     */
    dress(colours, ratio) {
        this.#colours = colours;
        this.#ratio = ratio;
        this.#sprites = [FRESH, STALE, OLD, NORTH, SOUTH].map((kind) => sprite(kind, colours, ratio));
        this.#stamps = null;
    }

    /**
     * @param {Fleet} fleet
     * @param {View} view
     * @param {Followed | null} followed
     * @param {Wishes} wishes
     * @param {number} now
     * @param {boolean} isForGround whether the ground is drawn next, which wants to know the room
     */
    draw(fleet, view, followed, wishes, now, isForGround) {
        const [pen, colours, ratio] = [this.#pen, this.#colours, this.#ratio];
        if (!colours) return;
        this.cells.gather(fleet, view, now, wishes.glides);
        pen.setTransform(1, 0, 0, 1, 0, 0);
        pen.clearRect(0, 0, pen.canvas.width, pen.canvas.height);
        const slot = followed ? fleet.slotOf(followed.id) : undefined;
        this.#markers(fleet, wishes.clusters, slot);
        pen.setTransform(ratio, 0, 0, ratio, 0, 0);
        pen.font = "12px system-ui, sans-serif";
        pen.textBaseline = "middle";
        this.room.clear();
        keepCorner(this.room, view);
        const hasNames = wishes.names || this.cells.seen <= NAMES_MAX;
        this.isSparse = this.cells.seen <= BY_HAND;
        if (wishes.clusters) this.#crowds(colours);
        if (slot !== undefined) this.#takeFollowed(fleet, view, slot);
        // Of more clients than that no name makes way for a dot: there would be none.
        if (hasNames && this.isSparse) this.#takeDots(fleet, wishes.clusters, slot);
        if (hasNames) this.#names(fleet, view, wishes.clusters, slot, colours);
        if (isForGround && !(hasNames && this.isSparse)) this.#takeDots(fleet, wishes.clusters, slot);
        if (followed && slot !== undefined) this.#follow(fleet, view, slot, followed, colours);
        scaleBar(pen, view, colours);
    }

    /**
     * @param {Fleet} fleet
     * @param {boolean} clusters
     * @param {number | undefined} followed
     */
    #markers(fleet, clusters, followed) {
        const [cells, pen, ratio, half] = [this.cells, this.#pen, this.#ratio, (SPRITE * this.#ratio) / 2];
        const seconds = serverNow();
        const isMany = cells.seen > BY_HAND && !clusters;
        const stamps = isMany ? (this.#stamps ??= new Stamps(pen, this.#sprites)) : null;
        stamps?.clear();
        /** Those at the edge. @type {[number, number, number][]} */
        const cut = [];
        for (let slot = 0; slot < fleet.count; slot++) {
            const cell = cells.cell[slot];
            if (cell < 0 || slot === followed || (clusters && cells.isCrowd(cell))) continue;
            const kind = kindOf(fleet, slot, seconds);
            // Whole pixels are copied, others are mixed, which takes several times as long.
            const [left, top] = [Math.round(cells.left[slot] * ratio - half), Math.round(cells.top[slot] * ratio - half)];
            if (stamps?.add(kind, left, top)) continue;
            if (stamps) cut.push([kind, left, top]);
            else pen.drawImage(this.#sprites[kind], left, top);
        }
        stamps?.show();
        for (const [kind, left, top] of cut) pen.drawImage(this.#sprites[kind], left, top);
    }

    /** @param {Colours} colours */
    #crowds(colours) {
        const [pen, { members, sumLeft, sumTop, newest, fresh }, seconds] = [this.#pen, this.cells, serverNow()];
        pen.textAlign = "center";
        for (let cell = 0; cell < members.length; cell++) {
            if (!this.cells.isCrowd(cell)) continue;
            const [left, top] = [sumLeft[cell] / members[cell], sumTop[cell] / members[cell]];
            const size = 13 + Math.min(11, 3 * Math.log10(members[cell]));
            this.room.mark(left, top, size, -2);
            // As its newest client: full, a ring, an empty diamond.
            const age = ageOf(seconds - newest[cell]);
            const colour = [colours.crowd, colours.stale, colours.old][age];
            pen.beginPath();
            if (age === OLD) for (const [x, y] of [[0, -1.25], [1.25, 0], [0, 1.25], [-1.25, 0]]) pen.lineTo(left + x * size, top + y * size);
            else pen.arc(left, top, size, 0, 2 * Math.PI);
            pen.closePath();
            pen.strokeStyle = colours.rim;
            pen.lineWidth = age === FRESH ? 4 : 6;
            pen.stroke();
            pen.fillStyle = age === FRESH ? colour : colours.rim;
            pen.fill();
            // Of a fresh one, a part of the ring for those of it that are not.
            const rest = age === FRESH ? 1 - fresh[cell] / members[cell] : 1;
            if (age === FRESH) {
                pen.beginPath();
                pen.arc(left, top, size, -Math.PI / 2, (2 * rest - 0.5) * Math.PI);
            }
            pen.strokeStyle = age === FRESH ? colours.stale : colour;
            pen.lineWidth = 3;
            if (rest > 0) pen.stroke();
            pen.fillStyle = age === FRESH ? colours["crowd-text"] : colour;
            pen.fillText(shortNumber(members[cell]), left, top + 0.5);
        }
    }

    /**
     * Whether a client is a dot of its own, and not of a crowd, the followed one, or out of sight.
     * @param {number} slot
     * @param {boolean} clusters
     * @param {number | undefined} followed
     */
    #isDot(slot, clusters, followed) {
        const cell = this.cells.cell[slot];
        return cell >= 0 && slot !== followed && !(clusters && this.cells.isCrowd(cell));
    }

    /**
     * @param {Fleet} fleet
     * @param {View} view
     * @param {number} slot
     */
    #takeFollowed(fleet, view, slot) {
        const [left, top] = [this.cells.left[slot], this.cells.top[slot]];
        this.room.mark(left, top, 12, FOLLOWED);
        this.#place(shorten(fleet.names[slot], LETTERS_MAX), left, 17, top, FOLLOWED, view, 8);
    }

    /**
     * @param {Fleet} fleet
     * @param {boolean} clusters
     * @param {number | undefined} followed
     */
    #takeDots(fleet, clusters, followed) {
        const { left, top } = this.cells;
        for (let slot = 0; slot < fleet.count; slot++) if (this.#isDot(slot, clusters, followed)) this.room.mark(left[slot], top[slot], DOT, slot);
    }

    /**
     * @param {Fleet} fleet
     * @param {View} view
     * @param {boolean} clusters
     * @param {number | undefined} followed its name is drawn with it
     * @param {Colours} colours
     */
    #names(fleet, view, clusters, followed, colours) {
        const { left, top } = this.cells;
        let drawn = 0;
        for (let slot = 0; slot < fleet.count && drawn < NAMES_MAX; slot++) {
            if (!this.#isDot(slot, clusters, followed)) continue;
            const name = shorten(fleet.names[slot], LETTERS_MAX);
            if (!this.#place(name, left[slot], GAP, top[slot], slot, view, 7)) continue;
            this.#name(name, left[slot], GAP, top[slot], view, colours);
            drawn++;
        }
    }

    /**
     * Takes the room of a name.
     * @param {string} name
     * @param {number} left of its client
     * @param {number} gap between the middle of its client and the name
     * @param {number} top
     * @param {number} owner
     * @param {View} view
     * @param {number} letter about how wide it is, in pixels: measuring each takes too long
     */
    #place(name, left, gap, top, owner, view, letter) {
        const width = name.length * letter;
        const from = this.#isLeft(name, left, gap, view) ? left - gap - width : left + gap - 2;
        return this.room.take(from, top - HALF, from + width + 2, top + HALF, owner);
    }

    /**
     * Whether a name stands to the left of its client, as the right edge of the map would cut it off and the left one does not.
     * Only near the right one names are measured, in the font in which they are drawn.
     * @param {string} name
     * @param {number} left of its client
     * @param {number} gap
     * @param {View} view
     */
    #isLeft(name, left, gap, view) {
        if (left + gap + name.length * LETTER_MAX <= view.width) return false;
        const { width } = this.#pen.measureText(name);
        return left + gap + width > view.width && left - gap - width >= 0;
    }

    /**
     * @param {string} name
     * @param {number} left
     * @param {number} gap
     * @param {number} top
     * @param {View} view
     * @param {Colours} colours
     */
    #name(name, left, gap, top, view, colours) {
        const pen = this.#pen;
        const isLeft = this.#isLeft(name, left, gap, view);
        pen.textAlign = isLeft ? "right" : "left";
        const from = left + (isLeft ? -gap : gap);
        pen.lineJoin = "round";
        pen.lineWidth = 3;
        pen.strokeStyle = colours.halo;
        pen.strokeText(name, from, top);
        pen.fillStyle = colours.text;
        pen.fillText(name, from, top);
    }

    /**
     * @param {Fleet} fleet
     * @param {View} view
     * @param {number} slot
     * @param {Followed} followed
     * @param {Colours} colours
     */
    #follow(fleet, view, slot, { trail }, colours) {
        const [pen, cells, ratio] = [this.#pen, this.cells, this.#ratio];
        const [left, top] = [cells.left[slot], cells.top[slot]];
        this.#trail(view, trail, left, top, colours);
        const margin = 18;
        const [inLeft, inTop] = [Math.min(view.width - margin, Math.max(margin, left)), Math.min(view.height - margin, Math.max(margin, top))];
        if (Math.abs(inLeft - left) > margin || Math.abs(inTop - top) > margin) {
            arrow(pen, inLeft, inTop, Math.atan2(top - inTop, left - inLeft), colours);
            return;
        }
        pen.beginPath();
        pen.arc(left, top, 12, 0, 2 * Math.PI);
        pen.lineWidth = 3;
        pen.strokeStyle = colours.followed;
        pen.stroke();
        const half = SPRITE / 2;
        pen.setTransform(1, 0, 0, 1, 0, 0);
        pen.drawImage(this.#sprites[kindOf(fleet, slot, serverNow())], Math.round((left - half) * ratio), Math.round((top - half) * ratio));
        pen.setTransform(ratio, 0, 0, ratio, 0, 0);
        pen.font = "bold 13px system-ui, sans-serif";
        this.#name(shorten(fleet.names[slot], LETTERS_MAX), left, 17, top, view, colours);
    }

    /**
     * @param {View} view
     * @param {{x: number, y: number}[]} trail
     * @param {number} left
     * @param {number} top
     * @param {Colours} colours
     */
    #trail(view, trail, left, top, colours) {
        const pen = this.#pen;
        pen.beginPath();
        let [fromLeft, fromTop] = [left, top];
        // From the client backwards; a step over the edge of the world is not a line across it.
        for (let at = trail.length - 2; at >= 0; at--) {
            const [toLeft, toTop] = [view.left(trail[at].x), view.top(trail[at].y)];
            if (Math.abs(toLeft - fromLeft) < view.scale / 2) {
                pen.moveTo(fromLeft, fromTop);
                pen.lineTo(toLeft, toTop);
            }
            [fromLeft, fromTop] = [toLeft, toTop];
        }
        pen.lineWidth = 2.5;
        pen.lineCap = "round";
        pen.strokeStyle = colours.followed;
        pen.stroke();
    }
}

/** The markers as numbers, written into the numbers of the picture. */
class Stamps {
    #pen;
    #picture;
    #pixels;
    /** By kind: the pixels that are not empty, as steps from the marker's first one, and their colours. */
    #stamps;
    #side;

    /**
     * @param {CanvasRenderingContext2D} pen
     * @param {HTMLCanvasElement[]} sprites
     */
    constructor(pen, sprites) {
        const { width, height } = pen.canvas;
        this.#pen = pen;
        this.#picture = new ImageData(width, height);
        this.#pixels = new Uint32Array(this.#picture.data.buffer);
        this.#side = sprites[0].width;
        this.#stamps = sprites.map((marker) => stamp(marker, width));
    }

    clear() {
        this.#pixels.fill(0);
    }

    /**
     * @param {number} kind
     * @param {number} left
     * @param {number} top
     * @returns {boolean} false for one that the edge cuts, which is not written
     */
    add(kind, left, top) {
        const [pixels, { steps, colours }] = [this.#pixels, this.#stamps[kind]];
        const { width, height } = this.#picture;
        const first = top * width + left;
        if (left < 0 || top < 0 || left + this.#side > width || top + this.#side > height) return false;
        for (let at = 0; at < steps.length; at++) {
            const pixel = first + steps[at];
            // The soft rim of a marker does not cover another one.
            if (pixels[pixel] === 0 || colours[at] >>> 24 === 255) pixels[pixel] = colours[at];
        }
        return true;
    }

    show() {
        this.#pen.putImageData(this.#picture, 0, 0);
    }
}

/**
 * @param {HTMLCanvasElement} marker
 * @param {number} across pixels in a row of the picture
 */
function stamp(marker, across) {
    const pen = /** @type {CanvasRenderingContext2D} */ (marker.getContext("2d"));
    const { data } = pen.getImageData(0, 0, marker.width, marker.height);
    const pixels = new Uint32Array(data.buffer);
    const full = [...pixels.keys()].filter((at) => data[4 * at + 3] > 0);
    return {
        steps: Int32Array.from(full, (at) => Math.floor(at / marker.width) * across + (at % marker.width)),
        colours: Uint32Array.from(full, (at) => pixels[at]),
    };
}

/**
 * @param {Fleet} fleet
 * @param {number} slot
 * @param {number} seconds
 */
function kindOf(fleet, slot, seconds) {
    const beyond = fleet.beyond[slot];
    return beyond === 0 ? ageOf(seconds - fleet.received[slot]) : beyond > 0 ? NORTH : SOUTH;
}

/**
 * Full when fresh, a ring when stale, an empty diamond when old, a triangle where the client is nearer to a pole than the map goes.
 * @param {number} kind
 * @param {Colours} colours
 * @param {number} ratio
 */
function sprite(kind, colours, ratio) {
    const canvas = document.createElement("canvas");
    canvas.width = canvas.height = Math.round(SPRITE * ratio);
    const pen = /** @type {CanvasRenderingContext2D} */ (canvas.getContext("2d"));
    pen.scale(ratio, ratio);
    pen.translate(SPRITE / 2, SPRITE / 2);
    pen.beginPath();
    if (kind === FRESH || kind === STALE) pen.arc(0, 0, kind === FRESH ? 5 : 4.5, 0, 2 * Math.PI);
    else for (const [x, y] of kind === OLD ? [[0, -6], [6, 0], [0, 6], [-6, 0]] : [[0, -6], [6, 5], [-6, 5]]) pen.lineTo(x, kind === SOUTH ? -y : y);
    pen.closePath();
    pen.lineWidth = kind === STALE || kind === OLD ? 5 : 3.5;
    pen.strokeStyle = colours.rim;
    pen.stroke();
    if (kind === STALE || kind === OLD) {
        pen.lineWidth = 2.5;
        pen.strokeStyle = kind === STALE ? colours.stale : colours.old;
        pen.stroke();
        pen.fillStyle = colours.rim;
    } else {
        pen.fillStyle = colours.fresh;
    }
    pen.fill();
    return canvas;
}

/**
 * @param {CanvasRenderingContext2D} pen
 * @param {number} left
 * @param {number} top
 * @param {number} angle
 * @param {Colours} colours
 */
function arrow(pen, left, top, angle, colours) {
    pen.save();
    pen.translate(left, top);
    pen.rotate(angle);
    pen.beginPath();
    for (const [x, y] of [[13, 0], [-9, -10], [-4, 0], [-9, 10]]) pen.lineTo(x, y);
    pen.closePath();
    pen.fillStyle = colours.followed;
    pen.strokeStyle = colours.rim;
    pen.lineWidth = 2;
    pen.stroke();
    pen.fill();
    pen.restore();
}

/** @param {number} count */
const shortNumber = (count) => (count < 1_000 ? String(count) : count < 10_000 ? `${(count / 1_000).toFixed(1)}k` : `${Math.round(count / 1_000)}k`);
