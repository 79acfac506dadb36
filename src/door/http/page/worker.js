// The shared worker of all tabs: one hub, and one port a tab. tabs.js starts it.

// Named here so that they are fetched at once, not one after the other.
import "./sse.js";
import "./stream.js";
import { Hub } from "./hub.js";

const hub = new Hub();

/** @type {{onconnect: (event: MessageEvent) => void}} */ (/** @type {unknown} */ (self)).onconnect = ({ ports: [port] }) => {
    port.onmessage = (/** @type {MessageEvent<import("./hub.js").ToHub>} */ { data }) => hub.take(port, data);
};
