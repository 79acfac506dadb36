// Small hands for the elements of the page.

import { texts } from "./texts.js";

/**
 * @template {HTMLElement} T
 * @param {string} id
 * @param {new () => T} kind
 * @returns {T}
 */
export function byId(id, kind) {
    const element = document.getElementById(id);
    if (!(element instanceof kind)) throw new Error(`index.html has no ${kind.name} #${id}`);
    return element;
}

/**
 * @template {keyof HTMLElementTagNameMap} T
 * @param {T} tag
 * @param {Partial<HTMLElementTagNameMap[T]>} [properties]
 * @param {(Node | string)[]} children
 * @returns {HTMLElementTagNameMap[T]}
 */
export function make(tag, properties = {}, ...children) {
    const element = Object.assign(document.createElement(tag), properties);
    element.append(...children);
    return element;
}

/**
 * Sets a text only when it is another one, which spares the layout.
 * @param {Node} node
 * @param {string} text
 */
export function say(node, text) {
    if (node.textContent !== text) node.textContent = text;
}

/** Puts the words of texts.js where index.html names them. */
export function fillTexts() {
    for (const element of document.querySelectorAll("[data-text]")) {
        element.textContent = texts.page[element.getAttribute("data-text") ?? ""];
    }
    for (const element of document.querySelectorAll("[data-label]")) {
        const label = texts.page[element.getAttribute("data-label") ?? ""];
        element.setAttribute("aria-label", label);
        if (element instanceof HTMLButtonElement) element.title = label;
    }
    for (const element of document.querySelectorAll("[data-hint]")) {
        element.setAttribute("placeholder", texts.page[element.getAttribute("data-hint") ?? ""]);
    }
}
