// Asks for the names of towns, or of the user's own places, when the view has come to rest. main.js calls it.

import { get } from "./api.js";

/** @typedef {import("./ground.js").Town} Town */

const LIMIT = 60;
let asking = new AbortController();

/**
 * @param {import("./view.js").View} view
 * @returns {Promise<{labels: Town[], attributions: string[]} | null>} null when there is no answer, or the view has moved on
 */
export async function townsOf(view) {
    asking.abort();
    asking = new AbortController();
    const { west, south, east, north } = view.bounds;
    const bbox = [west, south, east, north].map((degrees) => degrees.toFixed(4)).join(",");
    try {
        return await get("/v1/labels", { bbox, limit: LIMIT }, asking.signal);
    } catch {
        return null;
    }
}
