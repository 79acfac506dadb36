// The form for a token. It opens when the server answers 401 and closes when a token has been let in.

import { byId, say } from "./dom.js";
import { texts } from "./texts.js";
import { token } from "./token.js";

const dialog = byId("sign-in", HTMLDialogElement);
const input = byId("token", HTMLInputElement);
const wrong = byId("wrong", HTMLElement);
const out = byId("sign-out", HTMLButtonElement);

/** The one that was last tried, to say that it is wrong. @type {string | null} */
let tried = null;

/** @param {(secret: string) => void} typed */
export function openSignIn(typed) {
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
    out.addEventListener("click", () => {
        token.set(null);
        location.reload();
    });
}

/**
 * The server wants a token, or another one.
 * @param {number} [status] of its answer
 */
export function askForToken(status) {
    const was = token.get();
    say(wrong, status === 403 ? texts.mayNotRead : was && was === tried ? texts.wrongToken : "");
    if (!dialog.open) dialog.showModal();
    input.focus();
}

/** The server has let this tab in. */
export function letIn() {
    out.hidden = !token.get();
    input.value = "";
    if (dialog.open) dialog.close();
}
