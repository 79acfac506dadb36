// The client that is followed: its card beside the map, its trail, and its link in the address of the page. The map is
// never moved by it, except when the user asks.

import { address } from "./address.js";
import { ageOf, serverNow } from "./clock.js";
import { byId, say } from "./dom.js";
import { texts } from "./texts.js";
import { visible } from "./names.js";

/** @typedef {import("./fleet.js").Fleet} Fleet */

const TRAIL_MAX = 200;
const AGES = ["fresh", "stale", "old"];

const card = byId("card", HTMLElement);
const name = byId("card-name", HTMLElement);
const heard = byId("card-heard", HTMLElement);
const place = byId("card-place", HTMLElement);
const note = byId("card-note", HTMLElement);
const buttons = ["centre", "near"].map((id) => byId(id, HTMLButtonElement));

export class Card {
    /** @type {import("./dots.js").Followed | null} */
    followed = null;
    /** Told when another client, or none, is followed. */
    onChange = () => {};
    #fleet;

    /** @param {Fleet} fleet */
    constructor(fleet) {
        this.#fleet = fleet;
        byId("unfollow", HTMLButtonElement).addEventListener("click", () => this.follow(null));
        byId("link", HTMLButtonElement).addEventListener("click", () => void this.#copy());
    }

    /** @param {string | null} id */
    follow(id) {
        if (id === (this.followed?.id ?? null)) return;
        this.followed = id === null ? null : { id, trail: [] };
        address.set("client", id);
        say(note, "");
        this.moved();
        this.show();
        this.onChange();
    }

    get slot() {
        return this.followed ? this.#fleet.slotOf(this.followed.id) : undefined;
    }

    /** The followed one may have moved. */
    moved() {
        const slot = this.slot;
        if (slot === undefined || !this.followed) return;
        const { trail } = this.followed;
        const [x, y] = [this.#fleet.x[slot], this.#fleet.y[slot]];
        const last = trail[trail.length - 1];
        if (last?.x === x && last.y === y) return;
        trail.push({ x, y });
        if (trail.length > TRAIL_MAX) trail.shift();
    }

    /** Called each second, so that the age ticks. */
    show() {
        card.hidden = !this.followed;
        if (!this.followed) return;
        const slot = this.slot;
        say(name, visible(this.followed.id));
        for (const button of buttons) button.disabled = slot === undefined;
        if (slot === undefined) {
            card.className = "old";
            say(heard, texts.unknown(visible(this.followed.id)));
            say(place, "");
            return;
        }
        const { received, servers, times, lat, lon } = this.#fleet;
        const seconds = serverNow() - received[slot];
        card.className = AGES[ageOf(seconds)];
        say(heard, `${texts.heard(texts.ago(seconds), visible(servers[slot]))} ${texts.ownClock(visible(times[slot]))}`);
        say(place, `${texts.latitude(lat[slot])}, ${texts.longitude(lon[slot])}`);
    }

    async #copy() {
        try {
            await navigator.clipboard.writeText(location.href);
            say(note, texts.copied);
        } catch {
            // Without TLS a page may not write to the clipboard; the link stands in the address bar, too.
            say(note, location.href);
        }
    }
}
