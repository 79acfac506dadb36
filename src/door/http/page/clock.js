// The server's clock, as far as this machine can know it, and what is told with it: ages.

/** @typedef {0 | 1 | 2} Age FRESH, STALE or OLD */
export const FRESH = 0;
export const STALE = 1;
export const OLD = 2;

/** Phones at rest report every few minutes. */
export const STALE_S = 5 * 60;
const OLD_S = 60 * 60;

let aheadMs = 0;

/** @param {number} ms how far this machine's clock is ahead of the server's */
export function setAhead(ms) {
    // The server's clock is told in whole seconds: a difference below that is nothing.
    aheadMs = Math.abs(ms) < 1_000 ? 0 : ms;
}

/** @returns {number} seconds since 1970 on the server's clock */
export const serverNow = () => (Date.now() - aheadMs) / 1_000;

/**
 * @param {number} seconds
 * @returns {Age}
 */
export const ageOf = (seconds) => (seconds < STALE_S ? FRESH : seconds < OLD_S ? STALE : OLD);
