// What fingers, mouse and keys do to the map: push, pinch, wheel, click, arrows. main.js says what a click means.

/** @typedef {import("./view.js").View} View */

/**
 * @typedef {object} Deeds
 * @property {(left: number, top: number, reach: number) => boolean} click returns whether there was something to click
 * @property {(left: number, top: number) => void} clickGround comes late, for it may be the half of a double click
 * @property {Record<string, () => void>} keys by the key's name
 */

/** A pointer that went no further has clicked. */
const CLICK_PIXELS = 6;
const DOUBLE_MS = 300;
const REACH = { mouse: 12, pen: 16, touch: 24 };
const STEP = 0.2;

/**
 * @param {HTMLElement} pad
 * @param {View} view
 * @param {Deeds} deeds
 */
export function giveHands(pad, view, deeds) {
    pointers(pad, view, deeds);
    pad.addEventListener(
        "wheel",
        (event) => {
            event.preventDefault();
            const lines = event.deltaMode === WheelEvent.DOM_DELTA_LINE ? 20 : 1;
            // A pinch on a touchpad comes as a wheel with Ctrl, in smaller steps.
            const levels = (-event.deltaY * lines) / (event.ctrlKey ? 80 : 300);
            view.zoomAt(Math.max(-1, Math.min(1, levels)), event.offsetX, event.offsetY);
        },
        { passive: false },
    );
    /** @type {Record<string, () => void>} */
    const keys = {
        ArrowLeft: () => view.glideBy(-STEP, 0),
        ArrowRight: () => view.glideBy(STEP, 0),
        ArrowUp: () => view.glideBy(0, -STEP),
        ArrowDown: () => view.glideBy(0, STEP),
        "+": () => view.glideZoom(1),
        "=": () => view.glideZoom(1),
        "-": () => view.glideZoom(-1),
        ...deeds.keys,
    };
    pad.addEventListener("keydown", (event) => {
        if (event.ctrlKey || event.altKey || event.metaKey || !Object.hasOwn(keys, event.key)) return;
        event.preventDefault();
        keys[event.key]();
    });
}

/**
 * @param {HTMLElement} pad
 * @param {View} view
 * @param {Deeds} deeds
 */
function pointers(pad, view, deeds) {
    /** @type {Map<number, {x: number, y: number}>} */
    const down = new Map();
    let way = 0;
    let [pending, pendingAt] = [0, 0];

    pad.addEventListener("pointerdown", (event) => {
        if (event.pointerType === "mouse" && event.button !== 0) return;
        pad.setPointerCapture(event.pointerId);
        way = down.size === 0 ? 0 : Infinity;
        down.set(event.pointerId, { x: event.offsetX, y: event.offsetY });
    });
    pad.addEventListener("pointermove", (event) => {
        const before = down.get(event.pointerId);
        if (!before) return;
        const now = { x: event.offsetX, y: event.offsetY };
        way += Math.hypot(now.x - before.x, now.y - before.y);
        const other = [...down].find(([id]) => id !== event.pointerId)?.[1];
        if (other) {
            const [apart, wasApart] = [distance(now, other), distance(before, other)];
            view.push((now.x - before.x) / 2, (now.y - before.y) / 2);
            view.zoomAt(Math.log2(Math.max(1, apart) / Math.max(1, wasApart)), (now.x + other.x) / 2, (now.y + other.y) / 2);
        } else if (way > CLICK_PIXELS) {
            view.push(now.x - before.x, now.y - before.y);
        }
        down.set(event.pointerId, now);
    });
    pad.addEventListener("pointercancel", (event) => down.delete(event.pointerId));
    pad.addEventListener("pointerup", (event) => {
        if (!down.delete(event.pointerId) || way > CLICK_PIXELS) return;
        const [left, top] = [event.offsetX, event.offsetY];
        const reach = REACH[/** @type {keyof typeof REACH} */ (event.pointerType)] ?? REACH.mouse;
        if (deeds.click(left, top, reach)) return;
        if (event.timeStamp - pendingAt < DOUBLE_MS) {
            clearTimeout(pending);
            view.zoomAt(1, left, top);
            pendingAt = 0;
        } else {
            pendingAt = event.timeStamp;
            pending = Number(setTimeout(() => deeds.clickGround(left, top), DOUBLE_MS));
        }
    });
}

/**
 * @param {{x: number, y: number}} a
 * @param {{x: number, y: number}} b
 */
const distance = (a, b) => Math.hypot(a.x - b.x, a.y - b.y);
