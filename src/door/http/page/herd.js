// The panel of the herd: what this server says of itself and of its links, asked every five seconds while somebody
// looks, and what the stream says of links in between. When the server is down the rest of the page stays as it is.

import { Refused, get } from "./api.js";
import { byId, make, say } from "./dom.js";
import { serverNow } from "./clock.js";
import { texts } from "./texts.js";

/**
 * @typedef {{neighbour: string, up: boolean, lag_clients: number, lag_s: number}} LinkState
 * @typedef {{server: string, neighbours: string[]}} Member of herd.conf
 * @typedef {{server: string, version: string, clients: number, news: number, forgotten: number,
 *     journal?: {state: string, bytes: number}, links?: LinkState[], servers?: Member[], notes?: string[]}} HerdState
 */

const POLL_MS = 5_000;
/** A server that takes longer is not well. */
const ANSWER_MS = 8_000;

const about = byId("herd-about", HTMLElement);
const down = byId("herd-down", HTMLElement);
const links = byId("herd-links", HTMLElement);
const servers = byId("herd-servers", HTMLElement);
const notes = byId("herd-notes", HTMLElement);

export class HerdPanel {
    /** Told which version the server is of, when it has answered. @type {(version: string) => void} */
    onAnswer = () => {};
    /** Told that it has not, in words. @type {(why: string) => void} */
    onRefusal = () => {};
    #fleet;
    #server;
    /** @type {HerdState | null} */
    #state = null;
    #heardAt = Date.now();
    #isDown = false;
    /** Why it has not answered, in words. */
    #why = "";
    /** @type {{news: number, at: number} | null} */
    #before = null;
    /** @type {number | null} */
    #perSecond = null;
    #timer = 0;
    /** Until the hub has said hello, for it may have a token. */
    #isPaused = true;

    /**
     * @param {import("./fleet.js").Fleet} fleet
     * @param {string} server
     */
    constructor(fleet, server) {
        this.#fleet = fleet;
        this.#server = server;
        document.addEventListener("visibilitychange", () => this.poll());
    }

    /** Asks now, and again every five seconds while the page is in sight. */
    poll() {
        clearTimeout(this.#timer);
        if (!document.hidden && !this.#isPaused) void this.#ask().finally(() => (this.#timer = Number(setTimeout(() => this.poll(), POLL_MS))));
    }

    /** Asks nothing while the server wants another token, for each question would count as a wrong one. @param {boolean} isRefused */
    pause(isRefused) {
        if (isRefused === this.#isPaused) return;
        this.#isPaused = isRefused;
        this.poll();
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
            const state = /** @type {HerdState} */ (await get("/v1/herd", {}, AbortSignal.timeout(ANSWER_MS)));
            const at = performance.now();
            if (this.#before && state.news >= this.#before.news) {
                this.#perSecond = ((state.news - this.#before.news) * 1_000) / (at - this.#before.at);
            }
            this.#before = { news: state.news, at };
            [this.#state, this.#heardAt, this.#isDown, this.#why] = [state, Date.now(), false, ""];
            this.onAnswer(state.version);
        } catch (error) {
            const status = error instanceof Refused ? error.status : 0;
            // Who refuses a token has answered.
            const isNeeded = status === 401 || status === 403;
            this.#isDown = !isNeeded && status !== 429;
            this.#why = this.#isDown ? texts.serverDown(this.#server, this.#heardAt) : isNeeded ? "" : texts.failed(texts.status(status));
            this.onRefusal(isNeeded ? texts.signInNeeded : status ? texts.status(status) : texts.noAnswer);
        }
        this.show();
    }

    show() {
        const state = this.#state;
        say(down, this.#why);
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

    /** Counts anew what each server heard, and tells how long ago. */
    tick() {
        if (this.#state && servers.offsetParent) this.#showServers(this.#state);
    }

    /** @param {LinkState} link */
    #link({ neighbour, up, lag_clients, lag_s }) {
        const isUp = up && !this.#isDown;
        const state = make("td", { className: isUp ? "up" : "down" }, isUp ? texts.up : texts.down);
        return make("tr", {}, make("th", { scope: "row" }, neighbour), state, make("td", {}, texts.lag(lag_clients, lag_s)));
    }

    /** Every server of herd.conf, and whoever else first heard somebody. @param {HerdState} state */
    #showServers({ server: own, links: ours = [], servers: members = [] }) {
        const { servers: origins, received } = this.#fleet;
        /** How many clients it heard last, and when the newest of them. @type {Map<string, {count: number, newest: number}>} */
        const heard = new Map([own, ...ours.map(({ neighbour }) => neighbour), ...members.map(({ server }) => server)].map((server) => [server, { count: 0, newest: 0 }]));
        origins.forEach((server, slot) => {
            const { count, newest } = heard.get(server) ?? { count: 0, newest: 0 };
            heard.set(server, { count: count + 1, newest: Math.max(newest, received[slot]) });
        });
        const now = serverNow();
        const rows = [...heard].sort().map(([server, { count, newest }]) => {
            const link = ours.find(({ neighbour }) => neighbour === server);
            const [kind, word] = this.#stateOf(server, own, link, members.find((member) => member.server === server));
            const cells = [make("td", { className: kind }, word), make("td", {}, texts.number(count)), make("td", {}, newest ? texts.ago(now - newest) : "–")];
            return make("tr", {}, make("th", { scope: "row" }, server), ...cells);
        });
        // A row that says the same stays, and with it what is selected in it.
        rows.forEach((row, at) => {
            const shown = servers.children[at];
            if (!shown) servers.append(row);
            else if (!shown.isEqualNode(row)) shown.replaceWith(row);
        });
        while (servers.children.length > rows.length) servers.lastElementChild?.remove();
    }

    /**
     * @param {string} server
     * @param {string} own
     * @param {LinkState | undefined} link
     * @param {Member | undefined} member
     * @returns {[string, string]} a class of the style sheet, and words
     */
    #stateOf(server, own, link, member) {
        if (server === own) return this.#isDown ? ["down", texts.down] : ["up", texts.ownUp];
        // Of all others this server knows, and it does not answer.
        if (this.#isDown) return ["", "–"];
        if (link) return link.up ? ["up", texts.up] : ["down", texts.noLink];
        return ["", member ? texts.notKnownHere(member.neighbours) : texts.notInConf];
    }
}
