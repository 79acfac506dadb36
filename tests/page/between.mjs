// What stands between a browser and a server in a test: a proxy that breaks as proxies and networks do, and a tile server.

import { createServer as createHttp } from "node:http";
import { createConnection, createServer } from "node:net";
import { atEnd, freeHost } from "./servers.mjs";
import { once } from "node:events";

/** Passes bytes on to a real server, until it is told to do something worse. */
export class Between {
    /** @type {"pass" | "stall" | "shut" | number} a number is the status of every answer */
    #mode = "pass";
    /** First lines of requests. @type {string[]} */
    asked = [];
    /** Bytes for the browser. */
    bytes = 0;
    /** How often the server began anew with everybody. */
    snapshots = 0;
    #pairs = new Set();

    static async of(test, target) {
        const between = new Between();
        between.target = new URL(target);
        between.listener = createServer((near) => between.#join(near));
        const host = freeHost();
        between.listener.listen(0, host);
        await once(between.listener, "listening");
        between.url = `http://${host}:${between.listener.address().port}`;
        atEnd(test, () => {
            between.listener.close();
            between.cut();
        });
        return between;
    }

    set mode(mode) {
        this.#mode = mode;
        for (const { near, far } of this.#pairs) {
            if (mode === "stall") near.pause(), far.pause();
            else near.resume(), far.resume();
        }
    }

    /** Breaks what is open. */
    cut() {
        for (const { near, far } of this.#pairs) near.destroy(), far.destroy();
    }

    #join(near) {
        near.on("error", () => {});
        if (this.#mode === "shut") return near.destroy();
        if (typeof this.#mode === "number") return this.#refuse(near, this.#mode);
        const far = createConnection(Number(this.target.port), this.target.hostname);
        const pair = { near, far };
        this.#pairs.add(pair);
        near.on("data", (bytes) => {
            const request = /^[A-Z]+ \S+(?= HTTP)/.exec(bytes.toString("latin1"));
            if (request) this.asked.push(request[0]);
            far.write(bytes);
        });
        far.on("data", (bytes) => {
            this.bytes += bytes.length;
            this.snapshots += bytes.toString("latin1").split("event: snapshot").length - 1;
            near.write(bytes);
        });
        far.on("error", () => {});
        for (const [from, to] of [[near, far], [far, near]]) {
            from.on("close", () => {
                to.destroy();
                this.#pairs.delete(pair);
            });
        }
        if (this.#mode === "stall") near.pause(), far.pause();
    }

    #refuse(near, status) {
        near.once("data", () => near.end(`HTTP/1.1 ${status} Not Now\r\nRetry-After: 1\r\nContent-Length: 0\r\nConnection: close\r\n\r\n`));
    }
}

/** One pixel of a colour that the page itself never draws. */
const TILE = Buffer.from("iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAIAAACQd1PeAAAADElEQVR4nGP4z/AfAAQAAf8iCjrwAAAAAElFTkSuQmCC", "base64");

/** A small tile server, as somebody may have it at home. */
export async function tileServer(test) {
    const paths = [];
    const http = createHttp((request, answer) => {
        paths.push(request.url);
        answer.writeHead(200, { "Content-Type": "image/png" }).end(TILE);
    });
    http.listen(0, freeHost());
    await once(http, "listening");
    atEnd(test, () => {
        http.close();
        http.closeAllConnections();
    });
    const { address, port } = http.address();
    return { url: `http://${address}:${port}`, paths };
}
