// The panel of the herd: what this server says of itself and of its links, asked every five seconds while somebody
// looks, and what the stream says of links in between. When the server is down the rest of the page stays as it is.

import { get } from "./api.js";
import { byId, make, say } from "./dom.js";
import { texts } from "./texts.js";

/**
 * @typedef {{neighbour: string, up: boolean, lag_clients: number, lag_s: number}} LinkState
 * @typedef {{server: string, version: string, clients: number, news: number, forgotten: number,
 *     journal?: {state: string, bytes: number}, links?: LinkState[], notes?: string[]}} HerdState
 */

const POLL_MS = 5_000;

const about = byId("herd-about", HTMLElement);
const down = byId("herd-down", HTMLElement);
const links = byId("herd-links", HTMLElement);
const servers = byId("herd-servers", HTMLElement);
const notes = byId("herd-notes", HTMLElement);

export class HerdPanel {
    #fleet;
    #server;
    /** @type {HerdState | null} */
    #state = null;
    #heardAt = Date.now();
    #isDown = false;
    /** @type {{news: number, at: number} | null} */
    #before = null;
    /** @type {number | null} */
    #perSecond = null;
    #timer = 0;

    /**
     * @param {import("./fleet.js").Fleet} fleet
     * @param {string} server
     */
    constructor(fleet, server) {
        this.#fleet = fleet;
        this.#server = server;
        document.addEventListener("visibilitychange", () => this.poll());
        this.poll();
    }

    /** Asks now, and again every five seconds while the page is in sight. */
    poll() {
        clearTimeout(this.#timer);
        if (!document.hidden) void this.#ask().finally(() => (this.#timer = Number(setTimeout(() => this.poll(), POLL_MS))));
    }

    /** @param {import("./sse.js").Link} link */
    linkChanged({ server, neighbour, up }) {
        const known = server === this.#server && this.#state?.links?.find((link) => link.neighbour === neighbour);
        if (known) {
            known.up = up;
            this.show();
        }
    }

    async #ask() {
        clearTimeout(this.#timer);
        try {
            const state = /** @type {HerdState} */ (await get("/v1/herd"));
            const at = performance.now();
            if (this.#before && state.news >= this.#before.news) {
                this.#perSecond = ((state.news - this.#before.news) * 1_000) / (at - this.#before.at);
            }
            this.#before = { news: state.news, at };
            [this.#state, this.#heardAt, this.#isDown] = [state, Date.now(), false];
        } catch {
            this.#isDown = true;
        }
        this.show();
    }

    show() {
        const state = this.#state;
        say(down, this.#isDown ? texts.serverDown(this.#server, this.#heardAt) : "");
        if (!state) return;
        const facts = [texts.version(state.version), texts.known(state.clients)];
        if (this.#perSecond !== null && !this.#isDown) facts.push(texts.rate(this.#perSecond));
        if (state.journal) facts.push(texts.journal(state.journal.state, state.journal.bytes));
        if (state.forgotten) facts.push(texts.forgotten(state.forgotten));
        about.replaceChildren(make("strong", {}, state.server), ...facts.map((fact) => make("span", {}, fact)));
        links.replaceChildren(...(state.links ?? []).map((link) => this.#link(link)));
        if (!state.links?.length) links.replaceChildren(make("tr", {}, make("td", { colSpan: 3 }, texts.noLinks)));
        notes.replaceChildren(...(state.notes ?? []).map((note) => make("li", {}, note)));
        byId("herd-notes-head", HTMLElement).hidden = !state.notes?.length;
        this.#showServers(state);
    }

    /** @param {LinkState} link */
    #link({ neighbour, up, lag_clients, lag_s }) {
        const isUp = up && !this.#isDown;
        const state = make("td", { className: isUp ? "up" : "down" }, isUp ? texts.up : texts.down);
        return make("tr", {}, make("th", { scope: "row" }, neighbour), state, make("td", {}, texts.lag(lag_clients, lag_s)));
    }

    /** Every server that first heard somebody, this one and its neighbours. @param {HerdState} state */
    #showServers(state) {
        /** @type {Map<string, number>} */
        const counts = new Map([[state.server, 0], ...(state.links ?? []).map(({ neighbour }) => /** @type {[string, number]} */ ([neighbour, 0]))]);
        for (const server of this.#fleet.servers) counts.set(server, (counts.get(server) ?? 0) + 1);
        const neighbours = new Map((state.links ?? []).map(({ neighbour, up }) => [neighbour, up]));
        const rows = [...counts].sort().map(([server, count]) => {
            const isOwn = server === state.server;
            const up = isOwn ? !this.#isDown : this.#isDown ? undefined : neighbours.get(server);
            const word = up === undefined ? (this.#isDown ? "–" : texts.noNeighbour) : up ? texts.up : isOwn ? texts.down : texts.noLink;
            const kind = up === undefined ? "" : up ? "up" : "down";
            return make("tr", {}, make("th", { scope: "row" }, isOwn ? `${server} (${texts.own})` : server), make("td", { className: kind }, word), make("td", {}, texts.found(count, count)));
        });
        servers.replaceChildren(...rows);
    }
}
