// How a tab reaches the hub, so that a browser has one stream however many tabs it has: through a shared worker; where
// there is none, through the tab that holds a lock and tells the others; where there are no locks either (plain HTTP
// from another host), each tab that is looked at has its own. index.html loads it ahead of main.js, so that the worker
// asks the server while the rest of the page is still on its way.

import { Hub } from "./hub.js";
import { token } from "./token.js";

/**
 * @typedef {import("./hub.js").ToHub} ToHub
 * @typedef {import("./hub.js").ToTab} ToTab
 * @typedef {(message: ToHub) => void} Say
 */

const NAME = "herd-stream";

/** @returns {ToHub} */
const hello = () => ({ hello: { token: token.get(), visible: !document.hidden } });

const worker = "SharedWorker" in self ? new SharedWorker(new URL("worker.js", import.meta.url), { type: "module", name: NAME }) : null;
worker?.port.postMessage(hello());

/**
 * @param {(message: ToTab) => void} hear
 * @returns {Say}
 */
export function openHub(hear) {
    if (worker) return overWorker(worker.port, hear);
    return "locks" in navigator && "BroadcastChannel" in self ? overLock(hear) : alone(hear);
}

/**
 * @param {MessagePort} port what came by it until now waits in it
 * @param {(message: ToTab) => void} hear
 * @returns {Say}
 */
function overWorker(port, hear) {
    const say = (/** @type {ToHub} */ message) => port.postMessage(message);
    port.onmessage = (/** @type {MessageEvent<ToTab>} */ { data }) => hear(data);
    const look = () => say({ visible: !document.hidden });
    document.addEventListener("visibilitychange", look);
    // A worker is not told everywhere that the network is back.
    addEventListener("online", look);
    addEventListener("pagehide", () => say({ bye: true }));
    addEventListener("pageshow", (event) => event.persisted && say(hello()));
    return say;
}

/**
 * @param {(message: ToTab) => void} hear
 * @returns {Say}
 */
function alone(hear) {
    const hub = new Hub();
    const self_ = { postMessage: hear };
    hub.take(self_, hello());
    document.addEventListener("visibilitychange", () => hub.take(self_, { visible: !document.hidden }));
    return (message) => hub.take(self_, message);
}

/**
 * Only a tab in sight asks for the lock, and it lets go when it is hidden: a phone may freeze hidden tabs.
 *
 * @typedef {{from: string, message: ToHub} | {to: string, message: ToTab} | {leads: string}} Spoken
 * @param {(message: ToTab) => void} hear
 * @returns {Say}
 */
function overLock(hear) {
    const me = crypto.randomUUID();
    const channel = new BroadcastChannel(NAME);
    const speak = (/** @type {Spoken} */ spoken) => channel.postMessage(spoken);
    /** @type {Hub | null} this tab's own, while it leads */
    let hub = null;
    const own = { postMessage: hear };
    /** @type {Map<string, import("./hub.js").Tab>} */
    const others = new Map();
    let letGo = new AbortController();

    const say = (/** @type {ToHub} */ message) => (hub ? hub.take(own, message) : speak({ from: me, message }));

    channel.onmessage = (/** @type {MessageEvent<Spoken>} */ { data }) => {
        if ("leads" in data) {
            if (!document.hidden) say(hello());
        } else if ("to" in data) {
            if (data.to === me) hear(data.message);
        } else if (hub) {
            const { from } = data;
            const tab = others.get(from) ?? { postMessage: (/** @type {ToTab} */ message) => speak({ to: from, message }) };
            others.set(from, tab);
            hub.take(tab, data.message);
        }
    };

    async function lead() {
        hub = new Hub();
        hub.take(own, hello());
        speak({ leads: me });
        await new Promise((done) => letGo.signal.addEventListener("abort", done, { once: true }));
        hub.close();
        others.clear();
        hub = null;
    }

    function attend() {
        if (document.hidden) {
            if (!hub) say({ bye: true });
            letGo.abort();
        } else {
            letGo = new AbortController();
            say(hello());
            // Refused when it is let go before it is got.
            navigator.locks.request(NAME, { signal: letGo.signal }, lead).catch(() => {});
        }
    }
    document.addEventListener("visibilitychange", attend);
    addEventListener("pagehide", () => say({ bye: true }));
    attend();
    return say;
}
