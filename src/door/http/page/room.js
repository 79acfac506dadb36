// What of the picture is taken, so that no label covers another one, or a client. dots.js takes room for clients and their
// names; ground.js puts towns where there is room left.

/** Side of a square, in pixels. */
const SIDE = 8;
const ACROSS = 1 << 12;
const MANY = -1;

export class Room {
    /** By square: who has taken it. @type {Map<number, number>} */
    #owners = new Map();

    clear() {
        this.#owners.clear();
    }

    /**
     * @param {number} left
     * @param {number} top
     * @param {number} right
     * @param {number} bottom
     * @param {number} owner what this one has taken already is free for it
     * @returns {boolean} whether there was room; it is taken then
     */
    take(left, top, right, bottom, owner) {
        const squares = squaresOf(left, top, right, bottom);
        if (squares.some((square) => (this.#owners.get(square) ?? owner) !== owner)) return false;
        for (const square of squares) this.#owners.set(square, owner);
        return true;
    }

    /**
     * Takes room for what is drawn in any case.
     * @param {number} left
     * @param {number} top
     * @param {number} reach
     * @param {number} owner
     */
    mark(left, top, reach, owner) {
        for (const square of squaresOf(left - reach, top - reach, left + reach, top + reach)) {
            this.#owners.set(square, (this.#owners.get(square) ?? owner) === owner ? owner : MANY);
        }
    }
}

/**
 * @param {number} left
 * @param {number} top
 * @param {number} right
 * @param {number} bottom
 */
function squaresOf(left, top, right, bottom) {
    const squares = [];
    for (let row = Math.floor(top / SIDE); row * SIDE < bottom; row++) {
        for (let column = Math.floor(left / SIDE); column * SIDE < right; column++) squares.push(row * ACROSS + column);
    }
    return squares;
}
