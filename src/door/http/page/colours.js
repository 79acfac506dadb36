// The colours of the canvas are those of the style sheet, so light and dark are decided there alone.

const NAMES = /** @type {const} */ ([
    "outside", "sea", "land", "coast", "border", "grid", "town", "halo", "text", "fresh", "stale", "old", "rim", "followed", "crowd", "crowd-text",
]);

/** @typedef {Record<typeof NAMES[number], string>} Colours */

/** @returns {Colours} */
export function colours() {
    const style = getComputedStyle(document.documentElement);
    return /** @type {Colours} */ (Object.fromEntries(NAMES.map((name) => [name, style.getPropertyValue(`--${name}`).trim()])));
}

/** @param {() => void} changed */
export function onColours(changed) {
    for (const query of ["(prefers-color-scheme: dark)", "(prefers-contrast: more)", "(forced-colors: active)"]) {
        matchMedia(query).addEventListener("change", changed);
    }
}
