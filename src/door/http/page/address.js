// What of the page stands in its address, behind the #, so that a link leads there: who is followed, and the filter.

const parts = () => new URLSearchParams(location.hash.slice(1));

export const address = {
    /** @param {"client" | "filter"} name */
    get: (name) => parts().get(name),
    /**
     * @param {"client" | "filter"} name
     * @param {string | null} value
     */
    set(name, value) {
        const all = parts();
        if (value) all.set(name, value);
        else all.delete(name);
        history.replaceState(null, "", all.size ? `#${all}` : location.pathname + location.search);
    },
};
