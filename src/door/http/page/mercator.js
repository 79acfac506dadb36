// Web Mercator on a square of side 1: x grows to the east from the date line, y to the south from the upper edge.
// Everything that turns degrees into places on the map, and back, goes through here.

/** Where the square ends; what lies beyond it, to the poles, is drawn on its edge. */
export const MAX_LAT = 85.0511287798066;

const EARTH_M = 6_371_008.8;
const RADIAN = Math.PI / 180;

/** @param {number} lon */
export const xOf = (lon) => lon / 360 + 0.5;

/** @param {number} lat */
export function yOf(lat) {
    const sine = Math.sin(Math.max(-MAX_LAT, Math.min(MAX_LAT, lat)) * RADIAN);
    return 0.5 - Math.log((1 + sine) / (1 - sine)) / (4 * Math.PI);
}

/** @param {number} x any x, also of another copy of the world */
export const lonOf = (x) => wrap(x - 0.5) * 360;

/** @param {number} y */
export const latOf = (y) => Math.atan(Math.sinh(Math.PI * (1 - 2 * y))) / RADIAN;

/**
 * The shorter way round the earth, as a part of its girth: from -0.5 up to, not including, 0.5.
 * @param {number} dx
 */
export const wrap = (dx) => dx - Math.floor(dx + 0.5);

/** @typedef {{lat: number, lon: number}} Place degrees */

/**
 * @param {Place} a
 * @param {Place} b
 * @returns {number} metres along the great circle
 */
export function distanceM(a, b) {
    const dLat = Math.sin(((b.lat - a.lat) * RADIAN) / 2);
    const dLon = Math.sin(((b.lon - a.lon) * RADIAN) / 2);
    const part = dLat * dLat + Math.cos(a.lat * RADIAN) * Math.cos(b.lat * RADIAN) * dLon * dLon;
    return 2 * EARTH_M * Math.asin(Math.min(1, Math.sqrt(part)));
}

/**
 * @param {number} lat
 * @param {number} scale pixels of the square's side
 * @returns {number} metres of a pixel at that latitude
 */
export const metresOfPixel = (lat, scale) => (2 * Math.PI * EARTH_M * Math.cos(lat * RADIAN)) / scale;
