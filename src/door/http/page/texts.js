// Every word of the page. Another language is another file like this one.

const counted = new Intl.NumberFormat("en");
const listed = new Intl.ListFormat("en");
const clock = new Intl.DateTimeFormat("en-GB", { hour: "2-digit", minute: "2-digit" });
const day = new Intl.DateTimeFormat("en-GB", { day: "numeric", month: "short", hour: "2-digit", minute: "2-digit" });

/** @param {number} count @param {string} one @param {string} [many] */
const some = (count, one, many = `${one}s`) => `${counted.format(count)} ${count === 1 ? one : many}`;

/** @param {number} ms since 1970 */
const moment = (ms) => (Date.now() - ms < 20 * 3_600_000 ? clock : day).format(ms);

/** @param {number} seconds */
function duration(seconds) {
    if (seconds < 60) return `${Math.max(0, Math.floor(seconds))} s`;
    if (seconds < 3_600) return `${Math.floor(seconds / 60)} min`;
    if (seconds < 172_800) return `${Math.floor(seconds / 3_600)} h`;
    return `${Math.floor(seconds / 86_400)} days`;
}

/** @param {number} degrees @param {number} digits @param {string} plus @param {string} minus */
const side = (degrees, digits, plus, minus) => `${Math.abs(degrees).toFixed(digits)}°${degrees === 0 || Math.abs(degrees) === 180 ? "" : degrees > 0 ? ` ${plus}` : ` ${minus}`}`;

export const texts = {
    /** Words that stand in the page as they are: `data-text` and `data-label` name them. */
    page: /** @type {Record<string, string>} */ ({
        map: "Map of all clients",
        mapKeys: "Arrow keys move the map, plus and minus zoom, Home shows everybody, C centres the followed client, Enter asks what is near the middle, slash searches. The same clients stand in the table.",
        zoomIn: "Zoom in",
        zoomOut: "Zoom out",
        fitAll: "Show everybody",
        wishes: "Options",
        names: "More names",
        clusters: "Group",
        clients: "Clients",
        places: "Places",
        herd: "Herd",
        panel: "Clients, places and herd",
        followed: "Followed client",
        filter: "Search clients",
        filterHint: "Name or server",
        inView: "On the map only",
        id: "Client",
        age: "Heard",
        place: "Position",
        server: "Server",
        more: "Next",
        fewer: "Previous",
        pages: "Pages of the table",
        showAll: "Show all",
        zoomToThem: "Zoom to them",
        centre: "Centre",
        near: "Nearby",
        link: "Copy link",
        unfollow: "Unfollow",
        trusted: "Every tab of this page uses the token, until you close the last of them.",
        newer: "The server was upgraded.",
        reload: "Reload",
        signIn: "Sign in",
        signInWhy: "This herd shows its clients to those who have a token. Its operator can tell you yours.",
        notNow: "Not now",
        token: "Token",
        signInByBasic: "By user and password",
        signOut: "Forget the token",
        radius: "Radius",
        placesHint: "Click on a client or on the map.",
        links: "Links of this server",
        servers: "Servers",
        lastReport: "Last report",
        neighbour: "Neighbour",
        state: "State",
        lag: "Behind",
        clientCount: "Clients",
        notes: "Notes",
        legendFresh: "heard in the last 5 minutes",
        legendStale: "5 minutes to an hour ago",
        legendOld: "more than an hour ago",
        legendCrowd: "so many clients close together, drawn as the newest of them; an orange part of the rim is for those not heard in 5 minutes",
        legendPole: "nearer to a pole than the map goes",
        legend: "What the marks mean",
    }),

    title: (/** @type {string} */ server) => `${server} – herd`,
    live: "live",
    connecting: "connecting",
    catchingUp: "catching up",
    behind: (/** @type {number} */ seconds) => `behind ${duration(seconds)}`,
    silent: (/** @type {number} */ seconds) => `nothing heard for ${duration(seconds)}`,
    offline: (/** @type {number} */ since, /** @type {string} */ why) => `offline since ${moment(since)}${why && ` (${why})`}`,
    noNetwork: "no network",
    status: (/** @type {number} */ status) => (status === 429 ? "too many wrong tokens from here; wait a minute" : status === 503 ? "server is busy" : `error ${status}`),
    signInNeeded: "sign-in needed",
    mayNotRead: "This token may not read.",
    wrongToken: "The herd does not know this token.",

    ago: (/** @type {number} */ seconds) => (seconds < 1 ? "just now" : `${duration(seconds)} ago`),
    moment,
    latitude: (/** @type {number} */ lat, digits = 5) => side(lat, digits, "N", "S"),
    longitude: (/** @type {number} */ lon, digits = 5) => side(lon, digits, "E", "W"),
    distance: (/** @type {number} */ metres) => (metres < 1_000 ? `${+metres.toPrecision(3)} m` : `${counted.format(+(metres / 1_000).toPrecision(3))} km`),

    found: (/** @type {number} */ shown, /** @type {number} */ all) => (shown === all ? some(all, "client") : `${counted.format(shown)} of ${some(all, "client")}`),
    crowd: (/** @type {number} */ count) => `${some(count, "client")} at this spot`,
    rows: (/** @type {number} */ from, /** @type {number} */ to, /** @type {number} */ all) => `${counted.format(from)}–${counted.format(to)} of ${counted.format(all)}`,
    gone: "gone",
    nobody: "Nobody has reported yet.",
    noMatch: "No client matches.",
    summary: (/** @type {string} */ state, /** @type {number} */ clients, /** @type {number} */ fresh) => `${state}: ${some(clients, "client")}, ${counted.format(fresh)} heard in the last 5 minutes`,

    heard: (/** @type {string} */ ago, /** @type {string} */ server) => `Heard ${ago} by ${server}.`,
    ownClock: (/** @type {string} */ time) => {
        const ms = Number(time) * 1_000;
        // A client may tell any number; a date ends 100,000,000 days after 1970.
        return Math.abs(ms) <= 8.64e15 ? `Its own clock: ${moment(ms)}` : `Its own time: ${time}`;
    },
    unknown: (/** @type {string} */ id) => `Nobody called ${id} is known.`,
    copied: "Link copied",

    asking: "Asking …",
    placesNear: (/** @type {string} */ what) => `Near ${what}`,
    noPlaces: "There is no place within this radius.",
    inGoogle: (/** @type {string} */ name) => `${name} in Google Maps, opens a new tab`,
    kilometres: (/** @type {number} */ km) => `${km} km`,

    up: "up",
    down: "down",
    ownUp: "up, this server",
    noLink: "no link",
    notKnownHere: (/** @type {string[]} */ neighbours) => (neighbours.length ? `not known here; linked with ${listed.format(neighbours)}` : "linked with nobody"),
    notInConf: "not in herd.conf",
    number: (/** @type {number} */ count) => counted.format(count),
    // What came in the last second is on its way.
    lag: (/** @type {number} */ clients, /** @type {number} */ seconds) => (clients === 0 || seconds < 1 ? "–" : `${some(clients, "client")}, ${duration(seconds)}`),
    noLinks: "It has no neighbours.",
    version: (/** @type {string} */ version) => `version ${version}`,
    rate: (/** @type {number} */ perSecond) => `${perSecond < 10 ? +perSecond.toFixed(1) : counted.format(Math.round(perSecond))} updates/s`,
    journal: (/** @type {string} */ state, /** @type {number} */ bytes) =>
        ({ absent: "no journal", reading: "reads its journal", degraded: "cannot write its journal" })[state] ?? `journal of ${(bytes / 1e6).toFixed(1)} MB`,
    forgotten: (/** @type {number} */ count) => `${counted.format(count)} forgotten`,
    known: (/** @type {number} */ count) => some(count, "client"),
    serverDown: (/** @type {string} */ server, /** @type {number} */ since) => `${server} has not answered since ${moment(since)}. What you see is what it said before.`,
    failed: (/** @type {string} */ why) => `That did not work: ${why}.`,
    noAnswer: "the server does not answer",
};
