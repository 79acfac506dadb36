// How a name that somebody made up is shown: nothing in it may be unseen or turn it round, and it has an end.

/** Control and format characters, spaces, and whatever else has no look of its own. */
const UNSEEN = /[\p{Cc}\p{Cf}\p{Z}\p{Default_Ignorable_Code_Point}]/gu;

/** @param {string} name @returns {string} with each such character as `%` and the digits of its bytes, as in an address */
export const visible = (name) => name.replace(UNSEEN, encodeURIComponent);

/** @param {string} name @param {number} lengthMax */
export const shorten = (name, lengthMax) => (name.length <= lengthMax ? name : `${name.slice(0, lengthMax - 1).replace(/\p{Surrogate}$/u, "")}…`);
