// What eslint holds the map page, its tools and its tests to; types are checked by tsc. `npm run check` runs it at the top
// of the project, from where the paths here begin.

import globals from "globals";
import js from "@eslint/js";

const rules = { eqeqeq: "error", "no-var": "error", "prefer-const": ["error", { destructuring: "all" }], "no-eval": "error", "no-implied-eval": "error", "no-shadow": "error" };

export default [
    js.configs.recommended,
    { files: ["src/door/http/page/*.js"], languageOptions: { globals: globals.browser }, rules },
    { files: ["tests/page/*.mjs", "tests/page/*.js"], languageOptions: { globals: { ...globals.node, ...globals.browser } }, rules },
];
