// The table beside the map: the same clients for those who cannot or will not look at a canvas. Sorted, filtered, and
// one page of rows at a time. Its filter is the search of the page, and the map leaves out what it leaves out.

import { address } from "./address.js";
import { ageOf, serverNow } from "./clock.js";
import { byId, make, say } from "./dom.js";
import { shorten, visible } from "./names.js";
import { texts } from "./texts.js";

/** @typedef {import("./fleet.js").Fleet} Fleet */

const ROWS = 50;
/** Of a name, in a row: more than on the map, as the ends of long names differ. */
const LETTERS_MAX = 48;
/** Rows change places at most so often, or nobody could click on one. */
const SORT_MS = 2_000;
/** So long they keep their places when somebody is about to click on one. */
const HOLD_MS = 10_000;
/** A finger leaves no pointer on a row. */
const hovers = matchMedia("(hover: hover)");
const AGES = ["fresh", "stale", "old"];

const filter = byId("filter", HTMLInputElement);
const inView = byId("in-view", HTMLInputElement);
const body = byId("rows", HTMLElement);
const found = byId("found", HTMLElement);
const nothing = byId("nothing", HTMLElement);
const showAll = byId("show-all", HTMLButtonElement);
const zoomTo = byId("zoom-to", HTMLButtonElement);
const [fewer, more] = [byId("fewer", HTMLButtonElement), byId("more", HTMLButtonElement)];
const range = byId("range", HTMLElement);

/** @typedef {"id" | "age" | "place" | "server"} Column */

export class Table {
    /** @type {(id: string) => void} */
    onChoose = () => {};
    /** @type {(slots: number[]) => void} */
    onZoom = () => {};
    onFilter = () => {};
    /** Whether the map shows where a client is. @type {(slot: number) => boolean} */
    isInView = () => true;
    /** @type {string | null} */
    followed = null;
    /** Whether everybody there is has been told, so that an empty table means nobody. */
    isComplete = false;

    #fleet;
    /** Those of a crowd on the map that was clicked. @type {Set<string> | null} */
    #only = null;
    /** Sorted. @type {string[]} */
    #shown = [];
    #page = 0;
    /** @type {{column: Column, down: boolean}} */
    #order = { column: "id", down: false };
    #sortedAt = 0;
    #sortedVersion = -1;
    #collator = new Intl.Collator("en", { numeric: true });

    /** @param {Fleet} fleet */
    constructor(fleet) {
        this.#fleet = fleet;
        filter.addEventListener("input", () => {
            address.set("filter", filter.value.trim());
            this.#filtered();
        });
        inView.addEventListener("change", () => this.#changed());
        filter.addEventListener("keydown", (event) => {
            if (event.key === "Enter" && this.#shown.length) this.onChoose(this.#shown[0]);
            if (event.key === "Escape") this.#clear();
        });
        showAll.addEventListener("click", () => {
            this.#clear();
            filter.focus();
        });
        zoomTo.addEventListener("click", () => this.onZoom(this.#slots()));
        fewer.addEventListener("click", () => this.#turn(-1));
        more.addEventListener("click", () => this.#turn(1));
        for (const head of document.querySelectorAll("th[data-column]")) {
            head.querySelector("button")?.addEventListener("click", () => this.#sortBy(/** @type {Column} */ (head.getAttribute("data-column"))));
        }
        body.addEventListener("click", (event) => {
            const id = event.target instanceof Element && event.target.closest("tr")?.dataset.id;
            if (id) this.onChoose(id);
        });
    }

    /** Puts the cursor where one can search. */
    search() {
        filter.focus();
        filter.select();
    }

    /** @param {string} words */
    filterBy(words) {
        if (filter.value.trim() === words) return;
        filter.value = words;
        this.#filtered();
    }

    /** @param {string[]} ids */
    showOnly(ids) {
        filter.value = "";
        address.set("filter", null);
        this.#only = new Set(ids);
        this.#changed();
    }

    /** Whether a client that has just come is left out. @param {number} slot */
    leavesOut(slot) {
        const words = filter.value.trim().toLowerCase();
        return words !== "" && !this.#matches(slot, words);
    }

    /**
     * Called each second: values tick in their rows, and the order is renewed, later when somebody is about to click. The
     * row with the focus, or below the pointer, keeps its place until it is left.
     */
    tick() {
        const isStale = this.#sortedVersion !== this.#fleet.version;
        const held = body.querySelector("tr:focus-within") ?? (hovers.matches ? body.querySelector("tr:hover") : null);
        const since = Date.now() - this.#sortedAt;
        if (isStale && since > (held && this.#shown.length ? HOLD_MS : SORT_MS)) {
            const id = held instanceof HTMLElement ? held.dataset.id : undefined;
            const place = id === undefined ? -1 : this.#shown.indexOf(id);
            this.#sort();
            if (id !== undefined && place >= 0) this.#hold(id, place);
        }
        this.#draw();
    }

    /**
     * @param {string} id
     * @param {number} place among all rows
     */
    #hold(id, place) {
        this.#shown = this.#shown.filter((other) => other !== id);
        this.#shown.splice(place, 0, id);
        // It is in order again once nobody holds it.
        this.#sortedVersion = -1;
    }

    /** The map shows another part of the world. */
    viewMoved() {
        if (inView.checked && !this.#only) this.#changed();
    }

    /** Everybody there is has been told. */
    complete() {
        this.isComplete = true;
        this.#sort();
        this.#draw();
    }

    #clear() {
        filter.value = "";
        address.set("filter", null);
        inView.checked = false;
        this.#only = null;
        this.#filtered();
    }

    #filtered() {
        const words = filter.value.trim().toLowerCase();
        if (words) this.#only = null;
        for (let slot = 0; slot < this.#fleet.count; slot++) this.#fleet.hidden[slot] = words && !this.#matches(slot, words) ? 1 : 0;
        this.#changed();
        this.onFilter();
    }

    #changed() {
        this.#page = 0;
        this.#sort();
        this.#draw();
    }

    /**
     * @param {number} slot
     * @param {string} words
     */
    #matches(slot, words) {
        return this.#fleet.ids[slot].toLowerCase().includes(words) || this.#fleet.servers[slot].toLowerCase() === words;
    }

    /** @param {number} by */
    #turn(by) {
        this.#page += by;
        this.#sort();
        this.#draw();
        byId("table-area", HTMLElement).scrollTop = 0;
    }

    /** @param {Column} column */
    #sortBy(column) {
        this.#order = { column, down: this.#order.column === column && !this.#order.down };
        for (const head of document.querySelectorAll("th[data-column]")) {
            const isIt = head.getAttribute("data-column") === column;
            head.setAttribute("aria-sort", isIt ? (this.#order.down ? "descending" : "ascending") : "none");
        }
        this.#changed();
    }

    #sort() {
        const { ids, servers, received, lat, hidden, count } = this.#fleet;
        const only = this.#only;
        const slots = [];
        for (let slot = 0; slot < count; slot++) {
            if (only ? only.has(ids[slot]) : !hidden[slot] && (!inView.checked || this.isInView(slot))) slots.push(slot);
        }
        const { column, down } = this.#order;
        const collate = this.#collator.compare;
        /** @type {Record<Column, (a: number, b: number) => number>} */
        const orders = {
            id: (a, b) => collate(ids[a], ids[b]),
            age: (a, b) => received[b] - received[a] || collate(ids[a], ids[b]),
            place: (a, b) => lat[b] - lat[a],
            server: (a, b) => collate(servers[a], servers[b]) || collate(ids[a], ids[b]),
        };
        slots.sort(orders[column]);
        if (down) slots.reverse();
        this.#shown = slots.map((slot) => ids[slot]);
        this.#sortedAt = Date.now();
        this.#sortedVersion = this.#fleet.version;
    }

    #slots() {
        return this.#shown.map((id) => this.#fleet.slotOf(id)).filter((slot) => slot !== undefined);
    }

    #draw() {
        const all = this.#shown.length;
        // Those who have gone meanwhile are not counted.
        const here = this.#sortedVersion === this.#fleet.version ? all : this.#slots().length;
        this.#page = Math.max(0, Math.min(this.#page, Math.ceil(all / ROWS) - 1));
        const first = this.#page * ROWS;
        const ids = this.#shown.slice(first, first + ROWS);
        while (body.children.length > ids.length) body.lastElementChild?.remove();
        const now = serverNow();
        ids.forEach((id, at) => this.#drawRow(/** @type {HTMLTableRowElement} */ (body.children[at] ?? body.appendChild(row())), id, now));
        say(found, this.#only ? texts.crowd(here) : texts.found(here, this.#fleet.count));
        say(nothing, all ? "" : this.#fleet.count ? texts.noMatch : this.isComplete ? texts.nobody : "");
        showAll.hidden = !this.#only && !filter.value && !inView.checked;
        zoomTo.hidden = showAll.hidden || all === 0;
        say(range, texts.rows(all ? first + 1 : 0, first + ids.length, all));
        fewer.disabled = first === 0;
        more.disabled = first + ROWS >= all;
        byId("pages", HTMLElement).hidden = all <= ROWS;
    }

    /**
     * @param {HTMLTableRowElement} element
     * @param {string} id
     * @param {number} now
     */
    #drawRow(element, id, now) {
        const slot = this.#fleet.slotOf(id);
        const [name, age, place, server] = element.cells;
        if (element.dataset.id !== id) {
            element.dataset.id = id;
            const button = /** @type {HTMLButtonElement} */ (name.firstElementChild);
            const whole = visible(id);
            say(button, shorten(whole, LETTERS_MAX));
            button.title = whole.length > LETTERS_MAX ? whole : "";
            if (button.title) button.setAttribute("aria-label", whole);
            else button.removeAttribute("aria-label");
        }
        const isFollowed = String(id === this.followed);
        if (element.getAttribute("aria-current") !== isFollowed) element.setAttribute("aria-current", isFollowed);
        if (slot === undefined) {
            element.className = "gone";
            say(age, texts.gone);
            return;
        }
        const seconds = now - this.#fleet.received[slot];
        const kind = AGES[ageOf(seconds)];
        if (element.className !== kind) element.className = kind;
        say(age, texts.ago(seconds));
        say(place, `${this.#fleet.lat[slot].toFixed(4)}, ${this.#fleet.lon[slot].toFixed(4)}`);
        say(server, visible(this.#fleet.servers[slot]));
    }
}

function row() {
    const name = make("th", { scope: "row" }, make("button", { type: "button" }));
    return make("tr", {}, name, make("td"), make("td"), make("td"));
}
