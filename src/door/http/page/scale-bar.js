// The scale bar, in the corner of the map and above the clients there. dots.js draws it.

import { metresOfPixel } from "./mercator.js";
import { texts } from "./texts.js";

/**
 * @typedef {import("./view.js").View} View
 * @typedef {import("./colours.js").Colours} Colours
 * @typedef {import("./room.js").Room} Room
 */

const BAR_PIXELS = 120;
/** Of a narrow map the other corner's words need the rest. */
const BAR_PART = 0.25;
const HEIGHT = 36;
const MARGIN = 12;
/** Who it is in the room. */
const BAR = -5;

/** @param {View} view */
const mostPixels = (view) => Math.min(BAR_PIXELS, view.width * BAR_PART);

/**
 * @param {Room} room
 * @param {View} view
 */
export function keepCorner(room, view) {
    room.take(0, view.height - HEIGHT, mostPixels(view) + MARGIN + 4, view.height, BAR);
}

/**
 * @param {CanvasRenderingContext2D} pen
 * @param {View} view
 * @param {Colours} colours
 */
export function scaleBar(pen, view, colours) {
    const metres = metresOfPixel(view.centre.lat, view.scale);
    const most = mostPixels(view) * metres;
    const ten = 10 ** Math.floor(Math.log10(most));
    const length = [5, 2, 1].map((factor) => factor * ten).find((round) => round <= most) ?? ten;
    const text = texts.distance(length);
    const [left, bottom, width] = [MARGIN, view.height - MARGIN, length / metres];
    pen.font = "12px system-ui, sans-serif";
    pen.textAlign = "left";
    pen.fillStyle = colours.halo;
    pen.fillRect(left - 4, bottom - 18, Math.max(width, pen.measureText(text).width + 5) + 8, 22);
    pen.beginPath();
    for (const [x, y] of [[0, -6], [0, 0], [width, 0], [width, -6]]) pen.lineTo(left + x, bottom + y);
    pen.strokeStyle = colours.text;
    pen.lineWidth = 2;
    pen.lineCap = "butt";
    pen.stroke();
    pen.fillStyle = colours.text;
    pen.fillText(text, left + 5, bottom - 9);
}
