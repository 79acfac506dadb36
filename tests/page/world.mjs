// Makes the outlines of the map page: Natural Earth (public domain) of npm's world-atlas, simplified, on a grid of whole
// numbers. `npm run world` writes src/door/http/page/world-*.bin.gz, which are checked in; with `--check` it compares them
// with what it would write. outline.js reads them.
//
// A file is numbers, each in seven-bit groups, the lowest first: steps of the grid in a degree; the number of rings
// (land), then of lines (borders); then each of them: its number of points, and for each point the difference of
// longitude and latitude to the point before, from 0, 0 at the beginning of the file. Differences are 0, -1, 1, -2, ...

import { createRequire } from "node:module";
import { readFileSync, writeFileSync } from "node:fs";
import { gunzipSync, gzipSync } from "node:zlib";
import { feature, mesh } from "topojson-client";

const require = createRequire(import.meta.url);

/** World-atlas' detail; steps in a degree; how far, in degrees, a line may be off; rings smaller than this, in square degrees, are left out. */
const LEVELS = [
    { name: "110m", steps: 10, off: 0.1, least: 0.3 },
    { name: "50m", steps: 30, off: 0.025, least: 0.012 },
];

for (const { name, steps, off, least } of LEVELS) {
    const atlas = JSON.parse(readFileSync(require.resolve(`world-atlas/countries-${name}.json`), "utf8"));
    // Coasts and borders are simplified arc by arc, so that what was one line for two countries stays one.
    const land = feature(atlas, atlas.objects.land).features.flatMap(({ geometry }) => geometry.coordinates.flat());
    const rings = land.map(unwind).filter((ring) => Math.abs(area(ring)) > least);
    const borders = mesh(atlas, atlas.objects.countries, (a, b) => a !== b).coordinates;
    const shapes = [...rings, ...borders].map((points) => whole(simplify(points, off), steps));
    const kept = shapes.map((points, at) => ({ points, isRing: at < rings.length })).filter(({ points, isRing }) => points.length > (isRing ? 3 : 1));
    const bytes = [];
    number(bytes, steps);
    number(bytes, kept.filter(({ isRing }) => isRing).length);
    number(bytes, kept.filter(({ isRing }) => !isRing).length);
    let [lon, lat] = [0, 0];
    for (const { points } of kept) {
        number(bytes, points.length);
        for (const [toLon, toLat] of points) {
            signed(bytes, toLon - lon);
            signed(bytes, toLat - lat);
            [lon, lat] = [toLon, toLat];
        }
    }
    const file = new URL(`../../src/door/http/page/world-${name}.bin.gz`, import.meta.url);
    const packed = gzipSync(Buffer.from(bytes), { level: 9 });
    // Another zlib may pack the same bytes in another way.
    if (!process.argv.includes("--check")) writeFileSync(file, packed);
    else if (!gunzipSync(readFileSync(file)).equals(Buffer.from(bytes))) throw new Error(`${file} is another one: npm run world`);
    const total = kept.reduce((sum, { points }) => sum + points.length, 0);
    console.log(`${name}: ${kept.length} lines, ${total} points, ${bytes.length} bytes, ${packed.length} gzipped`);
}

/** Douglas and Peucker's: drops points that are no further than `off` from the line without them. */
function simplify(points, off) {
    const keep = new Uint8Array(points.length);
    keep[0] = keep[points.length - 1] = 1;
    const spans = [[0, points.length - 1]];
    for (let span; (span = spans.pop());) {
        const [from, to] = span;
        let [worst, far] = [-1, off];
        for (let at = from + 1; at < to; at++) {
            const away = distance(points[at], points[from], points[to]);
            if (away > far) [worst, far] = [at, away];
        }
        if (worst >= 0) {
            keep[worst] = 1;
            spans.push([from, worst], [worst, to]);
        }
    }
    return points.filter((_, at) => keep[at]);
}

/** World-atlas' rings go over the date line with a leap: here they go on beyond 180°. One round the pole is closed below it. */
function unwind(ring) {
    let turn = 0;
    const points = ring.map(([lon, lat], at) => {
        if (at > 0) turn -= 360 * Math.round((lon - ring[at - 1][0]) / 360);
        return [lon + turn, lat];
    });
    const [first, last] = [points[0][0], points[points.length - 1][0]];
    return first === last ? points : [[first, -90], ...points, [last, -90], [first, -90]];
}

function distance([x, y], [ax, ay], [bx, by]) {
    const [dx, dy] = [bx - ax, by - ay];
    const part = dx || dy ? Math.max(0, Math.min(1, ((x - ax) * dx + (y - ay) * dy) / (dx * dx + dy * dy))) : 0;
    return Math.hypot(x - ax - part * dx, y - ay - part * dy);
}

function whole(points, steps) {
    const on = points.map(([lon, lat]) => [Math.round(lon * steps), Math.round(lat * steps)]);
    return on.filter(([lon, lat], at) => at === 0 || lon !== on[at - 1][0] || lat !== on[at - 1][1]);
}

function area(ring) {
    return ring.slice(1).reduce((sum, [lon, lat], at) => sum + ring[at][0] * lat - lon * ring[at][1], 0) / 2;
}

function signed(bytes, value) {
    number(bytes, value < 0 ? -2 * value - 1 : 2 * value);
}

function number(bytes, value) {
    for (; value > 127; value = Math.floor(value / 128)) bytes.push((value % 128) + 128);
    bytes.push(value);
}
