// What is near a client or a point: a list beside the map. It is never drawn on the map, which the terms of Google's
// Places do not allow on a map that is not Google's; each place links to Google's instead.

import { Refused, get } from "./api.js";
import { byId, make, say } from "./dom.js";
import { distanceM } from "./mercator.js";
import { reveal } from "./panel.js";
import { texts } from "./texts.js";
import { visible } from "./names.js";

/**
 * @typedef {import("./mercator.js").Place} Place
 * @typedef {{name: string, vicinity?: string, types?: string[], geometry: {location: {lat: number, lng: number}}}} Found
 */

const BOUND = 20;
const radius = byId("radius", HTMLSelectElement);
const head = byId("places-head", HTMLElement);
const note = byId("places-note", HTMLElement);
const list = byId("places-list", HTMLElement);
const attributions = byId("places-attributions", HTMLElement);

/** `path` and `near` are what the server is asked. @type {{what: string, from: Place, path: string, near?: string} | null} */
let asked = null;
let asking = new AbortController();

radius.addEventListener("change", () => void ask());

/**
 * @param {string} id
 * @param {Place} from where it is drawn; distances are from there
 */
export function placesNearClient(id, from) {
    asked = { what: visible(id), from, path: `/v1/clients/${encodeURIComponent(id)}/places` };
    return ask();
}

/** @param {Place} from */
export function placesNearPoint(from) {
    asked = { what: `${texts.latitude(from.lat, 3)}, ${texts.longitude(from.lon, 3)}`, from, path: "/v1/places", near: `${from.lat.toFixed(6)},${from.lon.toFixed(6)}` };
    return ask();
}

async function ask() {
    if (!asked) return;
    asking.abort();
    asking = new AbortController();
    const { signal } = asking;
    say(head, texts.placesNear(asked.what));
    say(note, texts.asking);
    list.replaceChildren();
    attributions.replaceChildren();
    try {
        const { path, near } = asked;
        const answer = await get(path, { ...(near && { near }), radius_km: radius.value, bound: BOUND }, signal);
        show(answer.results ?? [], answer.html_attributions ?? [], asked.from);
        // Before it was there, there may not have been enough to scroll.
        if (list.offsetParent) reveal();
    } catch (error) {
        if (signal.aborted) return;
        say(note, texts.failed(error instanceof Refused && error.status ? error.message : texts.noAnswer));
    }
}

/**
 * @param {Found[]} found
 * @param {string[]} credits HTML, of which only the text is shown
 * @param {Place} from
 */
function show(found, credits, from) {
    say(note, found.length ? "" : texts.noPlaces);
    list.replaceChildren(...found.map((place) => item(place, from)));
    attributions.replaceChildren(...credits.map((html) => make("p", {}, textOf(html))));
}

/**
 * @param {Found} place
 * @param {Place} from
 */
function item({ name, vicinity, types = [], geometry: { location } }, from) {
    const { lat, lng: lon } = location;
    const link = make("a", {
        href: `https://www.google.com/maps/search/?api=1&query=${lat},${lon}`,
        target: "_blank",
        rel: "noreferrer",
        textContent: name,
    });
    link.setAttribute("aria-label", texts.inGoogle(name));
    const kind = types[0]?.replaceAll("_", " ");
    const about = [texts.distance(Math.round(distanceM(from, { lat, lon }))), kind, vicinity].filter(Boolean).join(" · ");
    return make("li", {}, link, make("span", { textContent: about }));
}

/** @param {string} html */
const textOf = (html) => new DOMParser().parseFromString(html, "text/html").body.textContent ?? "";
