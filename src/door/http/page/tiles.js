// Pictures of the user's own tile server (`map.tiles` in herd.conf), where there is one. ground.js draws them.

/** @typedef {import("./view.js").View} View */

const TILE = 256;
const KEPT_MAX = 256;
const ZOOM_MAX = 19;

export class Tiles {
    #url;
    #came;
    /** In the order of their last use. @type {Map<string, HTMLImageElement>} */
    #kept = new Map();

    /**
     * @param {string} url with {z}, {x} and {y}
     * @param {() => void} came
     */
    constructor(url, came) {
        this.#url = url;
        this.#came = came;
    }

    /**
     * @param {CanvasRenderingContext2D} pen
     * @param {View} view
     */
    draw(pen, view) {
        const zoom = Math.max(0, Math.min(ZOOM_MAX, Math.round(view.zoom)));
        const count = 2 ** zoom;
        const side = view.scale / count;
        const [left, top] = [view.x * view.scale - view.width / 2, view.y * view.scale - view.height / 2];
        for (let row = Math.max(0, Math.floor(top / side)); row < Math.min(count, (top + view.height) / side); row++) {
            for (let column = Math.floor(left / side); column < (left + view.width) / side; column++) {
                const image = this.#image(zoom, ((column % count) + count) % count, row);
                if (image.complete && image.naturalWidth > 0) {
                    // Half a pixel more than the tile, so that no seam shows.
                    pen.drawImage(image, column * side - left, row * side - top, side + 0.5, side + 0.5);
                }
            }
        }
    }

    /**
     * @param {number} z
     * @param {number} x
     * @param {number} y
     */
    #image(z, x, y) {
        const key = `${z}/${x}/${y}`;
        const known = this.#kept.get(key);
        this.#kept.delete(key);
        const image = known ?? new Image(TILE, TILE);
        this.#kept.set(key, image);
        if (!known) {
            image.onload = this.#came;
            image.src = this.#url.replace("{z}", String(z)).replace("{x}", String(x)).replace("{y}", String(y));
            for (const oldest of this.#kept.keys()) {
                if (this.#kept.size <= KEPT_MAX) break;
                this.#kept.delete(oldest);
            }
        }
        return image;
    }
}
