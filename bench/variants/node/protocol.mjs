// What server.mjs and http.mjs share: what a position is, and how old a report is.

export const BACKLOG = 4096;

// The ranges are in the patterns: a float would take 90.00000000000000000001 for 90.
export const LOCATION =
  /^([+-](?:[0-8]?\d(?:\.\d+)?|90(?:\.0+)?))([+-](?:(?:0\d\d|1[0-7]\d|\d\d?)(?:\.\d+)?|180(?:\.0+)?))$/;
export const TIME = /^\d+(?:\.\d{1,9})?$/;

const NS = 1_000_000_000n;
// Date.now() has milliseconds only; the monotonic clock has nanoseconds, but counts from the boot.
const CLOCK_OFFSET_NS =
  BigInt(Math.round((performance.timeOrigin + performance.now()) * 1e3)) * 1000n - process.hrtime.bigint();

export function differenceToNow(time) {
  const [whole, fraction = ""] = time.split(".");
  const now = process.hrtime.bigint() + CLOCK_OFFSET_NS;
  const difference = now - (BigInt(whole) * NS + BigInt(fraction.padEnd(9, "0")));
  const [sign, size] = difference < 0n ? ["-", -difference] : ["+", difference];
  return `${sign}${size / NS}.${String(size % NS).padStart(9, "0")}`;
}

// A server of herd.conf, or its door for HTTP.
export function addressOf(server) {
  const colon = server.listen.lastIndexOf(":");
  const host = server.listen.slice(0, colon).replace(/^\[|\]$/g, "");
  return { host, port: Number(server.listen.slice(colon + 1)) };
}
