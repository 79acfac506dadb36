// The token of this tab, which was typed once. sign-in.js sets it; api.js and tabs.js send it.

const KEY = "herd-token";

/** The page goes on without a kept token where the browser keeps nothing. */
export const token = {
    get: () => {
        try {
            return sessionStorage.getItem(KEY);
        } catch {
            return null;
        }
    },
    /** @param {string | null} secret */
    set: (secret) => {
        try {
            if (secret) sessionStorage.setItem(KEY, secret);
            else sessionStorage.removeItem(KEY);
        } catch {
            // It has to be typed again with the next page.
        }
    },
};
