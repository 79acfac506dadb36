// Where the page begins: it opens the hub, feeds what it says to the fleet, and joins map, table, card and panels.

import { Card } from "./card.js";
import { Fleet } from "./fleet.js";
import { HerdPanel } from "./herd.js";
import { State } from "./state.js";
import { Table } from "./table.js";
import { WorldMap } from "./map.js";
import { address } from "./address.js";
import { askForToken, letIn, openSignIn } from "./sign-in.js";
import { byId, fillTexts, make, say } from "./dom.js";
import { giveHands } from "./hands.js";
import { openHub } from "./tabs.js";
import { placesNearClient, placesNearPoint } from "./places.js";
import { setAhead } from "./clock.js";
import { showList } from "./panel.js";
import { texts } from "./texts.js";
import { token, whenForgotten } from "./token.js";
import { townsOf } from "./towns.js";
import { whenUnauthorized } from "./api.js";

/** @typedef {{server: string, version: string, tiles: {url: string, attribution: string} | null, needs_token: boolean}} Config */

/** How near one goes to a client that one was sent to. */
const CLIENT_ZOOM = 10;
const TICK_MS = 1_000;

fillTexts();
const config = /** @type {Config} */ (JSON.parse(document.querySelector("meta[name=herd-config]")?.getAttribute("content") ?? "{}"));
document.title = texts.title(config.server);
say(byId("server", HTMLElement), config.server);
attribute([]);

const fleet = new Fleet();
const pad = byId("dots", HTMLCanvasElement);
const map = new WorldMap(byId("map", HTMLElement), byId("ground", HTMLCanvasElement), pad, fleet, config.tiles?.url);
const table = new Table(fleet);
const card = new Card(fleet);
const state = new State(fleet);
const herd = new HerdPanel(fleet, config.server);

/** The first view is of everybody, or of the client that the address names. */
let isPlaced = false;

// The stream.

/** @param {import("./sse.js").HerdEvent[]} events */
function take(events) {
    const now = performance.now();
    const before = fleet.count;
    for (const event of events) {
        if (event.name === "position") {
            if (fleet.set(event.data, now)) {
                const slot = fleet.count - 1;
                fleet.hidden[slot] = table.leavesOut(slot) ? 1 : 0;
            }
            if (event.data.id === card.followed?.id) card.moved();
        } else if (event.name === "gone") fleet.delete(event.data.id);
        else if (event.name === "link") herd.linkChanged(event.data);
        else if (event.name === "snapshot") fleet.begin();
        else {
            fleet.sweep();
            table.complete();
            place();
        }
    }
    state.heard(events);
    if (before === 0 && fleet.count > 0) {
        place();
        table.tick();
    }
    map.touch();
}

/** Shows whom the user wants to see, once they are there. */
function place() {
    const slot = card.slot;
    if (isPlaced || fleet.count === 0) return;
    if (slot !== undefined) map.view.show(whereIs(slot), CLIENT_ZOOM);
    else fitAll(true);
    // Until all are told it may be only the first few of them.
    isPlaced = table.isComplete;
    table.tick();
}

// A page of before an upgrade has a stream of its own beside those of after it, and may not know what it is told.
herd.onAnswer = (version) => {
    byId("newer", HTMLElement).hidden = version === config.version;
    trouble("");
    say_({ answers: true });
    // A question was refused meanwhile, and the stream was not.
    if (state.isLive) letIn();
};
herd.onRefusal = trouble;

/** @param {string} why */
function trouble(why) {
    if (state.trouble === why) return;
    state.trouble = why;
    state.show();
}

const say_ = openHub((message) => {
    if ("events" in message) take(message.events);
    else if ("token" in message) {
        token.set(message.token);
        herd.poll();
    } else if ("forget" in message) {
        beginAnew();
    } else {
        state.stream = message.state;
        if (message.state.aheadMs !== undefined) setAhead(message.state.aheadMs);
        herd.pause(message.state.kind === "refused");
        if (message.state.kind === "refused") askForToken(message.state.status);
        if (message.state.kind === "live") letIn();
    }
});

openSignIn(
    (secret) => {
        say_({ token: secret });
        herd.poll();
    },
    (next) => {
        say_({ forget: true });
        beginAnew(next);
    },
);
whenForgotten(() => beginAnew());

let isLeaving = false;

/**
 * Without the token, and without what it has shown; once, though a tab may be told so in several ways.
 * @param {string} [next] where, if not here
 */
function beginAnew(next) {
    if (isLeaving) return;
    isLeaving = true;
    token.drop();
    if (next) location.assign(next);
    else location.reload();
}

whenUnauthorized(() => askForToken(401));

// The map.

/** @param {number} slot */
const whereIs = (slot) => ({ lat: fleet.lat[slot], lon: fleet.lon[slot] });

/** @param {boolean} [atOnce] */
function fitAll(atOnce) {
    const slots = Array.from({ length: fleet.count }, (_, slot) => slot).filter((slot) => !fleet.hidden[slot]);
    fit(slots, atOnce);
}

/**
 * @param {number[]} slots
 * @param {boolean} [atOnce]
 */
function fit(slots, atOnce) {
    map.view.fit(slots.map((slot) => fleet.x[slot]), slots.map((slot) => fleet.y[slot]), atOnce);
}

function centre() {
    if (card.slot !== undefined) map.view.show(whereIs(card.slot));
}

/** @param {import("./mercator.js").Place} point */
function askNear(point) {
    showList("places");
    void placesNearPoint(point);
}

/** What is near whom one follows. */
function askNearFollowed() {
    if (card.slot === undefined || !card.followed) return;
    showList("places");
    void placesNearClient(card.followed.id, whereIs(card.slot));
}

function search() {
    showList("clients");
    table.search();
}

giveHands(pad, map.view, {
    click(left, top, reach) {
        const ids = map.clientsAt(left, top, reach);
        if (ids.length > 1) {
            showList("clients");
            table.showOnly(ids);
        } else if (ids.length === 1) {
            card.follow(ids[0]);
            askNearFollowed();
        }
        return ids.length > 0;
    },
    clickGround: (left, top) => askNear(map.view.placeAt(left, top)),
    keys: {
        Home: () => fitAll(),
        "/": search,
        c: centre,
        Enter: () => askNear(map.view.centre),
        Escape: () => card.follow(null),
    },
});

/** Names whose map and whose names these are. @param {string[]} ofLabels */
function attribute(ofLabels) {
    say(byId("attribution", HTMLElement), [config.tiles?.attribution, ...ofLabels].filter(Boolean).join(" · "));
}

map.onRest = async () => {
    table.viewMoved();
    const towns = await townsOf(map.view);
    if (!towns) return;
    map.towns = towns.labels;
    attribute(towns.attributions);
};

/** @type {[string, () => void][]} */
const buttons = [
    ["zoom-in", () => map.view.glideZoom(1)],
    ["zoom-out", () => map.view.glideZoom(-1)],
    ["fit-all", () => fitAll()],
    ["centre", centre],
    ["near", askNearFollowed],
    ["reload", () => location.reload()],
];
for (const [id, deed] of buttons) byId(id, HTMLButtonElement).addEventListener("click", deed);

for (const wish of /** @type {const} */ (["clusters", "names"])) {
    const box = byId(wish, HTMLInputElement);
    box.checked = map.wishes[wish];
    box.addEventListener("change", () => {
        map.wishes[wish] = box.checked;
        // Towns make way for others, too.
        map.redraw();
    });
}

/** Where there is little room, as style.css has it, they are folded up. */
const isSmall = matchMedia("(max-width: 760px), (max-height: 500px)");
const fold = () => (byId("wishes", HTMLDetailsElement).open = !isSmall.matches);
isSmall.addEventListener("change", fold);
fold();

// The lists beside it.

byId("radius", HTMLSelectElement).append(...[1, 5, 10, 25, 50].map((km) => make("option", { value: String(km), selected: km === 10 }, texts.kilometres(km))));

table.onChoose = (id) => {
    card.follow(id);
    const slot = card.slot;
    if (slot !== undefined) map.view.show(whereIs(slot), Math.min(CLIENT_ZOOM, Math.max(map.view.zoom, 6)));
};
table.onZoom = (slots) => fit(slots);
table.onFilter = () => map.redraw();
table.isInView = (slot) => map.view.holds(fleet.x[slot], fleet.y[slot]);
card.onChange = () => {
    map.followed = card.followed;
    table.followed = card.followed?.id ?? null;
    table.tick();
    map.redraw();
};

function followAddress() {
    table.filterBy(address.get("filter") ?? "");
    const id = address.get("client");
    if (id === (card.followed?.id ?? null)) return;
    card.follow(id);
    isPlaced = id === null;
    place();
}
addEventListener("hashchange", followAddress);
followAddress();
isPlaced = false;

setInterval(() => {
    if (document.hidden) return;
    state.show();
    table.tick();
    card.show();
    herd.tick();
    map.tick();
}, TICK_MS);

// For the console of the browser, and for tests/page.
Object.assign(globalThis, { herd: { fleet, map } });
