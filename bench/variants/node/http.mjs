// herd's reports by HTTP on node:http: node http.mjs NAME CONFIG
//
// A rival of herd's door for HTTP. A client's ID that a line cannot hold as it stands is refused, as
// no workload has one.

import { readFileSync } from "node:fs";
import http from "node:http";
import { parse } from "smol-toml";
import { BACKLOG, LOCATION, TIME, addressOf, differenceToNow } from "./protocol.mjs";

const PATH = /^\/v1\/clients\/([^\s%/?]+)$/;
// JSON.parse makes floats of numbers, and so loses digits. The body is flat, so a pattern a member reads it.
const OPENS = /^\s*\{/;
const MEMBER = /\s*"(lat|lon|time)"\s*:\s*(-?(?:0|[1-9]\d*)(?:\.\d+)?)\s*([,}])/y;
const BLANK = /\s*$/y;

// What a report tells, with its digits; null where it is none.
function told(body) {
  const members = {};
  const opens = OPENS.exec(body);
  if (opens === null) return null;
  let at = opens[0].length;
  for (let end = ","; end === ","; ) {
    MEMBER.lastIndex = at;
    const member = MEMBER.exec(body);
    if (member === null || member[1] in members) return null;
    members[member[1]] = member[2];
    end = member[3];
    at = MEMBER.lastIndex;
  }
  BLANK.lastIndex = at;
  const { lat, lon, time } = members;
  return BLANK.test(body) && lat !== undefined && lon !== undefined && time !== undefined ? members : null;
}

const signed = (number) => (number.startsWith("-") ? number : `+${number}`);

const store = new Map();

// Whether a report is news: its time counts as a number, of any size and without rounding, and then its location.
function learn(client, location, time, line) {
  const [whole, fraction = ""] = time.split(".");
  const seconds = whole.replace(/^0+/, "");
  const order = [seconds.length, seconds, fraction.replace(/0+$/, ""), location];
  const stored = store.get(client);
  if (stored !== undefined) {
    const differs = order.findIndex((part, index) => part !== stored.order[index]);
    if (differs < 0 || order[differs] < stored.order[differs]) return false;
  }
  store.set(client, { order, line });
  return true;
}

// The body of the answer; null where the report is none.
function report(client, body) {
  const members = told(body);
  if (members === null) return null;
  const location = signed(members.lat) + signed(members.lon);
  if (!LOCATION.test(location) || !TIME.test(members.time)) return null;
  const at = `AT ${name} ${differenceToNow(members.time)} ${client} ${location} ${members.time}`;
  return `${JSON.stringify({ news: learn(client, location, members.time, at), at })}\n`;
}

function answer(request, response) {
  const path = request.method === "PUT" ? PATH.exec(request.url) : null;
  const chunks = [];
  request.on("data", (chunk) => chunks.push(chunk));
  request.on("end", () => {
    const text = path === null ? null : report(path[1], Buffer.concat(chunks).toString());
    if (text === null) {
      response.writeHead(path === null ? 404 : 400, { "Content-Length": 0 }).end();
    } else {
      response.writeHead(200, { "Content-Type": "application/json", "Content-Length": Buffer.byteLength(text) });
      response.end(text);
    }
  });
}

const [name, configPath] = process.argv.slice(2);
const config = configPath === undefined ? {} : parse(readFileSync(configPath, "utf8"));
const own = config.servers?.[name]?.http;
if (own === undefined) {
  console.error("usage: node http.mjs NAME CONFIG, where CONFIG has a table [servers.NAME.http]");
  process.exit(64);
}
for (const signal of ["SIGINT", "SIGTERM"]) process.on(signal, () => process.exit(0));
// Connections that say nothing stay as long as herd keeps them.
const server = http.createServer({ keepAliveTimeout: 330_000, noDelay: true }, answer);
const { host, port } = addressOf(own);
server.listen({ host, port, backlog: BACKLOG }, () => {
  console.log(`${name} serves HTTP on ${host}:${server.address().port}`);
});
