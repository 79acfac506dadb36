// Reads the outlines of the world, which tests/page/world.mjs made, into paths on the square of mercator.js. ground.js draws them.

import { xOf, yOf } from "./mercator.js";

/**
 * @typedef {object} Shape a coast or a border, with the box around it
 * @property {Path2D} path
 * @property {Path2D | null} edge its line; null when it is all of it
 * @property {number} west below 0 or, east, above 1 for land that lies over the date line
 * @property {number} east
 * @property {number} north
 * @property {number} south
 * @typedef {{land: Shape[], borders: Shape[]}} Outline
 */

/**
 * @param {string} file
 * @returns {Promise<Outline>}
 */
export async function loadOutline(file) {
    const answer = await fetch(new URL(file, import.meta.url));
    return read(new Uint8Array(await answer.arrayBuffer()));
}

/**
 * @param {Uint8Array} bytes
 * @returns {Outline}
 */
function read(bytes) {
    let at = 0;
    const number = () => {
        let [value, unit] = [0, 1];
        for (; bytes[at] > 127; unit *= 128) value += (bytes[at++] - 128) * unit;
        return value + bytes[at++] * unit;
    };
    const signed = () => {
        const value = number();
        return value % 2 ? -(value + 1) / 2 : value / 2;
    };
    const steps = number();
    const [rings, lines] = [number(), number()];
    let [lon, lat] = [0, 0];
    const points = () => {
        const degrees = new Float64Array(2 * number());
        for (let i = 0; i < degrees.length; i += 2) {
            degrees[i] = (lon += signed()) / steps;
            degrees[i + 1] = (lat += signed()) / steps;
        }
        return degrees;
    };
    return {
        land: Array.from({ length: rings }, () => shape(points(), true)),
        borders: Array.from({ length: lines }, () => shape(points(), false)),
    };
}

/**
 * @param {Float64Array} degrees
 * @param {boolean} isRing
 * @returns {Shape}
 */
function shape(degrees, isRing) {
    const [path, edge] = [new Path2D(), new Path2D()];
    let [west, east, north, south] = [Infinity, -Infinity, 1, 0];
    let wasCut = true;
    for (let i = 0; i < degrees.length; i += 2) {
        const [x, y] = [xOf(degrees[i]), yOf(degrees[i + 1])];
        [west, east, north, south] = [Math.min(west, x), Math.max(east, x), Math.min(north, y), Math.max(south, y)];
        if (i === 0) path.moveTo(x, y);
        else path.lineTo(x, y);
        // The land round the pole is closed below the map, which is no coast.
        const isCut = degrees[i + 1] <= -90;
        if (i === 0 || isCut || wasCut) edge.moveTo(x, y);
        else edge.lineTo(x, y);
        wasCut = isCut;
    }
    return { path, edge: isRing ? edge : null, west, east, north, south };
}
