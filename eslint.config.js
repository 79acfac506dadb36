// What eslint holds the map page, its tools and its tests to; types are checked by tsc.

import globals from "globals";
import js from "@eslint/js";

const rules = { eqeqeq: "error", "no-var": "error", "prefer-const": ["error", { destructuring: "all" }], "no-eval": "error", "no-implied-eval": "error", "no-shadow": "error" };

export default [
    { ignores: ["target/", "bench/", "node_modules/"] },
    js.configs.recommended,
    { files: ["src/door/http/page/*.js"], languageOptions: { globals: globals.browser }, rules },
    { files: ["tools/*.mjs", "tests/page/*.mjs", "eslint.config.js"], languageOptions: { globals: { ...globals.node, ...globals.browser } }, rules },
];
