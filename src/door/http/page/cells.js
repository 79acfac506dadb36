// Where everybody is on the screen in this frame, and who stands so close that a number is drawn in their stead.
// dots.js draws it; a click is looked up in it.

import { GLIDE_MS } from "./fleet.js";
import { STALE_S, serverNow } from "./clock.js";
import { wrap } from "./mercator.js";

/**
 * @typedef {import("./fleet.js").Fleet} Fleet
 * @typedef {import("./view.js").View} View
 */

/** Side of a cell, in pixels, at a whole zoom; cells lie on the world, so a view that moves does not regroup them. */
const CELL = 72;
/** So many in a cell become a number. */
const CROWD = 5;
/** And so do fewer that stand so close, in pixels, that one sees one marker. */
const TOGETHER = 3;
/** A longer way than this, in pixels, is jumped. */
const LEAP = 240;
const MARGIN = 20;
/** So far from the map's edge stands whoever is beyond it. */
const INSIDE = 11;

export class Cells {
    /** By slot: pixels; cell is -1 out of sight. */
    left = new Float32Array(0);
    top = new Float32Array(0);
    cell = new Int32Array(0);
    /** By cell: how many, and the sums of their pixels. */
    members = new Int32Array(0);
    sumLeft = new Float64Array(0);
    sumTop = new Float64Array(0);
    /** By cell: when the newest of them was heard, and how many are fresh. */
    newest = new Float64Array(0);
    fresh = new Int32Array(0);
    /** By cell: the first few. */
    #first = new Int32Array(0);
    /** Cells of the world; behind them stands one for each few who stand together. */
    #grid = 0;
    seen = 0;

    /** @param {number} cell */
    isCrowd(cell) {
        return this.members[cell] >= (cell < this.#grid ? CROWD : 2);
    }

    /**
     * @param {Fleet} fleet
     * @param {View} view
     * @param {number} now
     * @param {boolean} glides
     */
    gather(fleet, view, now, glides) {
        this.#prepare(fleet, view);
        const { x, y, fromX, fromY, movedAt, hidden, beyond } = fleet;
        const { scale, width, height } = view;
        const side = CELL * 2 ** (view.zoom - Math.floor(view.zoom));
        const across = Math.ceil(width / side) + 3;
        // The view's own left and top edge, in cells from the edge of the world.
        const [firstColumn, firstRow] = [
            Math.floor((view.x * scale - width / 2 - MARGIN) / side),
            Math.floor((view.y * scale - height / 2 - MARGIN) / side),
        ];
        const [originLeft, originTop] = [firstColumn * side - view.x * scale + width / 2, firstRow * side - view.y * scale + height / 2];
        const freshSince = serverNow() - STALE_S;
        let seen = 0;
        for (let slot = 0; slot < fleet.count; slot++) {
            const away = glides ? 1 - (now - movedAt[slot]) / GLIDE_MS : 0;
            let left = width / 2 + wrap(x[slot] - view.x) * scale;
            let top = height / 2 + (y[slot] - view.y) * scale + beyond[slot] * INSIDE;
            if (away > 0) {
                const right = wrap(x[slot] - fromX[slot]) * scale;
                const down = (y[slot] - fromY[slot]) * scale;
                if (right < LEAP && right > -LEAP && down < LEAP && down > -LEAP) {
                    left -= right * away;
                    top -= down * away;
                }
            }
            this.left[slot] = left;
            this.top[slot] = top;
            if (hidden[slot] || left < -MARGIN || left > width + MARGIN || top < -MARGIN || top > height + MARGIN) {
                this.cell[slot] = -1;
                continue;
            }
            const cell = Math.floor((top - originTop) / side) * across + Math.floor((left - originLeft) / side);
            if (this.members[cell] < CROWD) this.#first[cell * CROWD + this.members[cell]] = slot;
            this.#join(fleet, slot, cell, freshSince);
            seen++;
        }
        this.seen = seen;
        for (let cell = 0, next = this.#grid; cell < this.#grid; cell++) {
            if (this.members[cell] > 1 && this.members[cell] < CROWD) next = this.#together(fleet, cell, next, freshSince);
        }
    }

    /**
     * @param {Fleet} fleet
     * @param {number} slot
     * @param {number} cell
     * @param {number} freshSince
     */
    #join(fleet, slot, cell, freshSince) {
        const heard = fleet.received[slot];
        this.cell[slot] = cell;
        this.members[cell]++;
        this.sumLeft[cell] += this.left[slot];
        this.sumTop[cell] += this.top[slot];
        if (heard > this.newest[cell]) this.newest[cell] = heard;
        if (heard > freshSince) this.fresh[cell]++;
    }

    /**
     * Gives those of a cell who stand together a cell of their own.
     * @param {Fleet} fleet
     * @param {number} cell
     * @param {number} next the first cell that is free
     * @param {number} freshSince
     * @returns {number} the same behind them
     */
    #together(fleet, cell, next, freshSince) {
        const few = this.#first.subarray(cell * CROWD, cell * CROWD + this.members[cell]);
        for (const slot of few) {
            if (this.cell[slot] !== cell) continue;
            const near = few.filter((other) => this.cell[other] === cell && Math.hypot(this.left[other] - this.left[slot], this.top[other] - this.top[slot]) <= TOGETHER);
            if (near.length < 2) continue;
            for (const other of near) this.#join(fleet, other, next, freshSince);
            next++;
        }
        return next;
    }

    /**
     * @param {Fleet} fleet
     * @param {View} view
     */
    #prepare(fleet, view) {
        const [slots, cells] = [fleet.x.length, (Math.ceil(view.width / CELL) + 4) * (Math.ceil(view.height / CELL) + 4)];
        if (this.left.length < slots) {
            [this.left, this.top, this.cell] = [new Float32Array(slots), new Float32Array(slots), new Int32Array(slots)];
        }
        this.#grid = cells;
        // Of fewer than a crowd at most two pairs stand together.
        const all = cells * 3;
        if (this.members.length < all) {
            [this.members, this.fresh, this.#first] = [new Int32Array(all), new Int32Array(all), new Int32Array(all * CROWD)];
            [this.sumLeft, this.sumTop, this.newest] = [new Float64Array(all), new Float64Array(all), new Float64Array(all)];
        }
        for (const column of [this.members, this.fresh, this.sumLeft, this.sumTop, this.newest]) column.fill(0);
    }

    /**
     * @param {Fleet} fleet
     * @param {number} left
     * @param {number} top
     * @param {number} reach pixels
     * @param {boolean} clusters
     * @returns {string[]} whoever is drawn there, the nearest first; all of a crowd
     */
    at(fleet, left, top, reach, clusters) {
        const crowd = clusters ? this.#crowdAt(left, top, Math.max(reach, 22)) : -1;
        /** @type {{id: string, away: number}[]} */
        const found = [];
        for (let slot = 0; slot < fleet.count; slot++) {
            const cell = this.cell[slot];
            if (cell < 0) continue;
            const away = Math.hypot(this.left[slot] - left, this.top[slot] - top);
            const isThere = crowd >= 0 ? cell === crowd : away <= reach && !(clusters && this.isCrowd(cell));
            if (isThere) found.push({ id: fleet.ids[slot], away });
        }
        return found.sort((a, b) => a.away - b.away).map(({ id }) => id);
    }

    /**
     * @param {number} left
     * @param {number} top
     * @param {number} reach
     */
    #crowdAt(left, top, reach) {
        for (let cell = 0; cell < this.members.length; cell++) {
            const members = this.members[cell];
            if (!this.isCrowd(cell)) continue;
            if (Math.hypot(this.sumLeft[cell] / members - left, this.sumTop[cell] / members - top) <= reach) return cell;
        }
        return -1;
    }
}
