// The form for a token. It opens when the server answers 401 and closes when a token has been let in. Once it was closed
// by hand it stays so, until it is opened by hand.

import { byId, say } from "./dom.js";
import { texts } from "./texts.js";
import { token } from "./token.js";

const dialog = byId("sign-in", HTMLDialogElement);
const input = byId("token", HTMLInputElement);
const wrong = byId("wrong", HTMLElement);
const out = byId("sign-out", HTMLButtonElement);
const again = byId("sign-in-again", HTMLButtonElement);

/** The one that was last tried, to say that it is wrong. @type {string | null} */
let tried = null;
let isClosedByHand = false;

/**
 * @param {(secret: string) => void} typed
 * @param {(next?: string) => void} forgotten told where to go then, if not here again
 */
export function openSignIn(typed, forgotten) {
    out.hidden = !token.get();
    byId("sign-in-form", HTMLFormElement).addEventListener("submit", (event) => {
        event.preventDefault();
        const secret = input.value.trim();
        if (!secret) return;
        tried = secret;
        token.set(secret);
        say(wrong, "");
        typed(secret);
    });
    dialog.addEventListener("cancel", () => (isClosedByHand = true));
    byId("not-now", HTMLButtonElement).addEventListener("click", () => {
        isClosedByHand = true;
        dialog.close();
    });
    again.addEventListener("click", open);
    out.addEventListener("click", () => {
        token.forget();
        forgotten();
    });
    const byBasic = byId("by-basic", HTMLAnchorElement);
    byBasic.addEventListener("click", (event) => {
        event.preventDefault();
        // It would be shown in place of what the browser is told.
        token.forget();
        forgotten(byBasic.href);
    });
}

/**
 * The server wants a token, or another one.
 * @param {number} [status] of its answer
 */
export function askForToken(status) {
    const was = token.get();
    say(wrong, status === 403 ? texts.mayNotRead : was && was === tried ? texts.wrongToken : "");
    again.hidden = false;
    if (!dialog.open && !isClosedByHand) open();
}

function open() {
    isClosedByHand = false;
    dialog.showModal();
    input.focus();
}

/** The server has let this tab in. */
export function letIn() {
    out.hidden = !token.get();
    again.hidden = true;
    isClosedByHand = false;
    input.value = "";
    if (dialog.open) dialog.close();
}
