// One server of the herd on node:net: node server.mjs NAME CONFIG
//
// Everything runs on one thread, so nothing needs a lock. Bytes are latin1 strings, a character a
// byte: a client's ID need not be UTF-8.

import { lookup } from "node:dns/promises";
import { readFileSync } from "node:fs";
import net from "node:net";
import { parse } from "smol-toml";
import { BACKLOG, LOCATION, TIME, addressOf, differenceToNow } from "./protocol.mjs";

const LINE_MAX = 4096; // bytes, without the line end
const AT_LINE_MAX = 2 * LINE_MAX + 96; // longer than the IAMAT it tells of by a name and a difference
const QUEUE_MAX = 10_000; // lines waiting for a neighbour
const [RETRY_MIN_MS, RETRY_MAX_MS] = [100, 2000];
const LINGER_MS = 2000;
const HTTP_TIMEOUT_MS = 5000;
const HTTP_CONNECTIONS = 256;

const FIELDS = /[^ \t\r\n\f\v]+/g; // \s would take U+00A0 too, which here may be part of a letter
const DIFFERENCE = /^[+-]\d+(?:\.\d+)?$/;
const RADIUS_KM = /^0*(?:[0-4]?\d(?:\.\d+)?|50(?:\.0+)?)$/;
const BOUND = /^0*(?:1?\d|20)$/;

// What is known of a client: its AT line with the newline, and what says how new it is.
class Record {
  constructor(origin, difference, client, location, time) {
    const text = `AT ${origin} ${difference} ${client} ${location} ${time}\n`;
    // A copy: parts of a string keep the whole of it in memory, here all that came with the line.
    this.line = Buffer.from(text, "latin1").toString("latin1");
    const own = this.line.match(FIELDS);
    [this.client, this.location] = own.slice(3);
    // The time counts as a number, of any size and without rounding.
    const [whole, fraction = ""] = own[5].split(".");
    const seconds = whole.replace(/^0+/, "");
    this.order = [seconds.length, seconds, fraction.replace(/0+$/, ""), own[4], own[1], own[2], own[5]];
  }

  // The same on every server: the time, then location, origin, difference, the time's digits.
  isNewer(other, parts) {
    for (let i = 0; i < parts; i += 1) {
      if (this.order[i] !== other.order[i]) return this.order[i] > other.order[i];
    }
    return false;
  }
}

const store = new Map();

function learn(record, { isReport }) {
  const stored = store.get(record.client);
  // A client's own report that is repeated differs in the difference, but is no news.
  if (stored !== undefined && !record.isNewer(stored, isReport ? 5 : 7)) return;
  store.set(record.client, record);
  // Also to the one it came from, which drops it: neighbours may share an address.
  for (const link of links) link.tell(record.line);
}

// The way to one neighbour: what it has not been told yet, and the connection for it.
class Link {
  pending = [];
  behind = true; // it is due the whole store, which has all that is pending
  scheduled = false;
  retryMs = RETRY_MIN_MS;

  constructor(address) {
    this.address = address;
  }

  connect() {
    this.socket = net.connect({ ...this.address, noDelay: true });
    this.socket.on("connect", () => {
      this.retryMs = RETRY_MIN_MS;
      this.flush();
    });
    this.socket.on("drain", () => this.flush());
    this.socket.on("error", () => {}); // "close" follows
    this.socket.on("close", () => {
      this.behind = true;
      setTimeout(() => this.connect(), this.retryMs);
      this.retryMs = Math.min(2 * this.retryMs, RETRY_MAX_MS);
    });
    this.socket.resume(); // that it is gone is seen by reading only
  }

  tell(line) {
    if (this.behind) return;
    if (this.pending.length < QUEUE_MAX) this.pending.push(line);
    else this.behind = true;
    // One write for all the news of this turn of the event loop.
    if (!this.scheduled) setImmediate(() => this.flush());
    this.scheduled = true;
  }

  flush() {
    this.scheduled = false;
    if (this.socket.readyState !== "open" || this.socket.writableNeedDrain) return;
    const lines = this.behind ? Array.from(store.values(), (record) => record.line) : this.pending;
    this.pending = [];
    this.behind = false;
    if (lines.length > 0) this.socket.write(lines.join(""), "latin1");
  }
}

class Connection {
  text = ""; // what has come and is not answered yet
  ended = false; // the peer sends no more
  waiting = false; // for the places; later commands wait, too
  refused = false;

  constructor(socket) {
    this.socket = socket;
    this.isNeighbour = neighbourHosts.has(socket.remoteAddress);
    socket.setEncoding("latin1");
    socket.on("data", (chunk) => {
      this.text += chunk;
      this.proceed();
    });
    socket.on("end", () => {
      this.ended = true;
      this.proceed();
    });
    socket.on("drain", () => this.proceed());
    socket.on("error", () => {}); // "close" follows
  }

  proceed() {
    this.socket.cork();
    this.answerLines();
    this.socket.uncork();
    if (this.isBusy()) this.socket.pause();
    else this.socket.resume();
  }

  isBusy() {
    return this.waiting || this.socket.writableNeedDrain;
  }

  answerLines() {
    let begin = 0;
    while (!this.isBusy() && !this.refused) {
      const newline = this.text.indexOf("\n", begin);
      if (newline < 0) break;
      const line = this.text.slice(begin, newline + 1);
      begin = newline + 1;
      if (this.isTooLong(line)) this.refuse(line);
      else this.answer(line);
    }
    this.text = this.refused ? "" : this.text.slice(begin);
    if (this.isBusy() || this.refused) return;
    if (this.isTooLong(this.text)) {
      this.refuse(this.text);
    } else if (this.ended) {
      const last = this.text;
      this.text = "";
      this.answer(last);
      if (!this.waiting) this.socket.end();
    }
  }

  // Whether a line, or the front of one, is longer than a line may be.
  isTooLong(text) {
    if (text.length <= LINE_MAX) return false;
    const isAt = this.isNeighbour && text.slice(0, LINE_MAX).match(FIELDS)?.[0] === "AT";
    // An unfinished line may still turn out to end in CRLF.
    const end = this.ended && !text.endsWith("\n") ? text : text.replace(/\r?\n?$/, "");
    return end.length > (isAt ? AT_LINE_MAX : LINE_MAX);
  }

  refuse(line) {
    this.refused = true;
    this.socket.end(`? ${line.slice(0, LINE_MAX)}\n`, "latin1");
    // Closing with input unread would reset the reply away.
    setTimeout(() => this.socket.destroy(), LINGER_MS);
  }

  answer(line) {
    const [keyword, ...fields] = line.match(FIELDS) ?? [];
    if (keyword === undefined) return;
    if (keyword === "AT" && this.isNeighbour) {
      // A link that died within a line leaves a stump whose cut time is still a time.
      if (fields.length === 5 && line.endsWith("\n")) this.at(...fields);
      return;
    }
    const isDone =
      fields.length === 3 &&
      ((keyword === "IAMAT" && this.iamat(...fields)) || (keyword === "WHATSAT" && this.whatsat(...fields)));
    if (!isDone) this.socket.write(`? ${line.replace(/\r?\n$/, "")}\n`, "latin1");
  }

  iamat(client, location, time) {
    if (!LOCATION.test(location) || !TIME.test(time)) return false;
    const record = new Record(name, differenceToNow(time), client, location, time);
    learn(record, { isReport: true });
    this.socket.write(record.line, "latin1");
    return true;
  }

  at(origin, difference, client, location, time) {
    if (!LOCATION.test(location) || !TIME.test(time) || !DIFFERENCE.test(difference)) return;
    learn(new Record(origin, difference, client, location, time), { isReport: false });
  }

  whatsat(client, radius, bound) {
    const record = store.get(client);
    if (record === undefined || !RADIUS_KM.test(radius) || !BOUND.test(bound)) return false;
    this.waiting = true;
    places(record.location, Math.round(Number(radius) * 1000), Number(bound)).then((text) => {
      this.waiting = false;
      this.socket.write(Buffer.concat([Buffer.from(record.line, "latin1"), Buffer.from(`${text}\n\n`)]));
      this.proceed();
    });
    return true;
  }
}

// Plain decimals, which String(Number) is not for small numbers.
function degrees(text) {
  return Number(text).toFixed(9).replace(/\.?0+$/, "");
}

function noResults(status, more = "") {
  return `{\n   "html_attributions" : [],\n   "results" : [],\n   "status" : "${status}"${more}\n}`;
}

async function places(location, radiusM, bound) {
  if (radiusM === 0 || bound === 0) return noResults("ZERO_RESULTS");
  const [, latitude, longitude] = LOCATION.exec(location);
  const query = `location=${degrees(latitude)},${degrees(longitude)}&radius=${radiusM}&key=${placesKey}`;
  try {
    const text = await fetchText(`${placesUrl}?${query}`);
    const answer = JSON.parse(text);
    if (answer.results.length <= bound) return text.replace(/\n+/g, "\n").replace(/\n$/, "");
    return JSON.stringify({ ...answer, results: answer.results.slice(0, bound) }, null, 3);
  } catch (why) {
    // Only the kind: the text of an error may have the URL and so the key.
    return noResults("UNKNOWN_ERROR", `,\n   "error_message" : "the places provider failed: ${why.name}"`);
  }
}

let asking = 0;
const waitingToAsk = [];

// fetch keeps connections for reuse, but would open as many as there are requests.
async function fetchText(url) {
  const signal = AbortSignal.timeout(HTTP_TIMEOUT_MS);
  if (asking < HTTP_CONNECTIONS) asking += 1;
  else await new Promise((resolve) => waitingToAsk.push(resolve));
  try {
    const response = await fetch(url, { signal });
    const text = await response.text();
    if (!response.ok) throw new Error();
    return text;
  } finally {
    const next = waitingToAsk.shift();
    if (next) next();
    else asking -= 1;
  }
}

const [nameText, configPath] = process.argv.slice(2);
const config = configPath === undefined ? {} : parse(readFileSync(configPath, "utf8"));
const own = config.servers?.[nameText];
if (own === undefined) {
  console.error("usage: node server.mjs NAME CONFIG, where CONFIG has a table [servers.NAME]");
  process.exit(64);
}
const name = Buffer.from(nameText).toString("latin1");
const placesUrl = config.places?.url;
const placesKey = encodeURIComponent(process.env.HERD_PLACES_KEY ?? "");
const neighbours = Object.entries(config.servers)
  // Talking is mutual: naming a neighbour on one side is enough.
  .filter(([other, server]) => own.neighbours?.includes(other) || server.neighbours?.includes(nameText))
  .map(([, server]) => addressOf(server));
const links = neighbours.map((address) => new Link(address));
const resolved = await Promise.all(neighbours.map(({ host }) => lookup(host, { all: true })));
const neighbourHosts = new Set(resolved.flat().map(({ address }) => address));

for (const signal of ["SIGINT", "SIGTERM"]) process.on(signal, () => process.exit(0));
const server = net.createServer({ allowHalfOpen: true, noDelay: true }, (socket) => new Connection(socket));
const { host, port } = addressOf(own);
server.listen({ host, port, backlog: BACKLOG }, () => {
  console.log(`${nameText} listens on ${host}:${server.address().port}`);
  for (const link of links) link.connect();
});
