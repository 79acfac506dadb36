// The three lists beside the map, of which one is seen: clients, places, herd. Tabs by the pattern of WAI-ARIA.

const tabs = /** @type {HTMLElement[]} */ ([...document.querySelectorAll("[role=tab]")]);

for (const tab of tabs) {
    tab.addEventListener("click", () => select(tab));
    tab.addEventListener("keydown", (event) => {
        const step = { ArrowLeft: -1, ArrowRight: 1 }[event.key];
        if (!step) return;
        const next = tabs[(tabs.indexOf(tab) + step + tabs.length) % tabs.length];
        select(next);
        next.focus();
    });
}

/** @param {HTMLElement} chosen */
function select(chosen) {
    for (const tab of tabs) {
        tab.setAttribute("aria-selected", String(tab === chosen));
        tab.tabIndex = tab === chosen ? 0 : -1;
        const list = document.getElementById(tab.getAttribute("aria-controls") ?? "");
        if (list) list.hidden = tab !== chosen;
    }
}

/** @param {"clients" | "places" | "herd"} name */
export function showList(name) {
    const tab = document.getElementById(`tab-${name}`);
    if (tab) select(tab);
    reveal();
}

/** Where the card and the lists scroll as one: has the list in sight. */
export function reveal() {
    tabs[0].parentElement?.scrollIntoView();
}
