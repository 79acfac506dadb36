// The token of this tab, which was typed once, in this tab or another one. sign-in.js sets it and has it forgotten; api.js and tabs.js send it.

const KEY = "herd-token";
/** When a token was last forgotten, for all tabs: one that sleeps until later must not bring it back. */
const FORGOTTEN = "herd-forgotten";

/** The page goes on without a kept token where the browser keeps nothing. */
export const token = {
    /** @returns {string | null} */
    get: () => {
        try {
            const { secret, at } = JSON.parse(sessionStorage.getItem(KEY) ?? "{}");
            return secret && at > Number(localStorage.getItem(FORGOTTEN)) ? secret : null;
        } catch {
            return null;
        }
    },
    /** @param {string} secret */
    set: (secret) => {
        try {
            sessionStorage.setItem(KEY, JSON.stringify({ secret, at: Date.now() }));
        } catch {
            // It has to be typed again with the next page.
        }
    },
    /** In every tab: the others are told that it is forgotten. */
    forget: () => {
        try {
            sessionStorage.removeItem(KEY);
            localStorage.setItem(FORGOTTEN, String(Date.now()));
        } catch {
            // What is not kept cannot be forgotten.
        }
    },
    /** This tab's own, as another one has had it forgotten. */
    drop: () => {
        try {
            sessionStorage.removeItem(KEY);
        } catch {
            // As above.
        }
    },
};

/** @param {() => void} told of what another tab has had forgotten */
export function whenForgotten(told) {
    addEventListener("storage", ({ key }) => key === FORGOTTEN && told());
}
