// Asks the server for JSON, with the token of this tab. A 401 is told to sign-in.js.

import { token } from "./token.js";

/** An answer that is none, in words for the user. */
export class Refused extends Error {
    /**
     * @param {number} status 0 when there was no answer
     * @param {string} why
     */
    constructor(status, why) {
        super(why);
        this.status = status;
    }
}

let onUnauthorized = () => {};

/** @param {() => void} told */
export function whenUnauthorized(told) {
    onUnauthorized = told;
}

/**
 * @param {string} path
 * @param {Record<string, string | number>} [parameters]
 * @param {AbortSignal} [signal]
 * @returns {Promise<any>}
 */
export async function get(path, parameters = {}, signal) {
    const address = new URL(path, location.origin);
    for (const [name, value] of Object.entries(parameters)) address.searchParams.set(name, String(value));
    const secret = token.get();
    const headers = { Accept: "application/json", ...(secret && { Authorization: `Bearer ${secret}` }) };
    const answer = await fetch(address, { headers, signal: signal ?? AbortSignal.timeout(30_000) }).catch((error) => {
        if (error.name === "AbortError") throw error;
        throw new Refused(0, "");
    });
    if (answer.ok) return answer.json();
    // Not when another token has come meanwhile.
    if (answer.status === 401 && token.get() === secret) onUnauthorized();
    const problem = await answer.json().catch(() => ({}));
    throw new Refused(answer.status, problem.detail ?? problem.title ?? String(answer.status));
}
