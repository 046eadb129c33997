// Colours and patterns of the canvases, read from the style sheet's variables so that light and dark are decided in one place.
// Outcomes differ in pattern as well as in colour: succeeded is plain, failed is hatched, cancelled is dotted, running has an open end.

export const OUTCOMES = ["succeeded", "failed", "cancelled", "running"];
const NAMES = {
  text: "--text",
  muted: "--text-muted",
  faint: "--text-faint",
  line: "--border",
  strong: "--border-strong",
  ground: "--background",
  surface: "--surface",
  accent: "--accent",
  succeeded: "--good",
  failed: "--bad",
  cancelled: "--cancelled",
  running: "--running",
};

/** The colours as they are now; made anew when the theme changes. */
export class Palette {
  constructor(element) {
    const style = getComputedStyle(element);
    for (const [name, variable] of Object.entries(NAMES))
      this[name] = style.getPropertyValue(variable).trim() || "#888";
    this.kinds = Array.from({ length: 8 }, (_, i) => style.getPropertyValue(`--category-${i + 1}`).trim() || "#888");
    this.font = style.getPropertyValue("--font").trim() || "system-ui, sans-serif";
    this.patterns = new Map();
  }

  /** What a bar of a goal is filled with: a canvas pattern, drawn once for each scale of the screen. */
  fill(context, outcome) {
    const ratio = window.devicePixelRatio || 1;
    const key = `${outcome} ${ratio}`;
    if (!this.patterns.has(key)) this.patterns.set(key, this.#pattern(context, outcome, ratio));
    return this.patterns.get(key);
  }

  #pattern(context, outcome, ratio) {
    const colour = this[outcome] ?? this.muted;
    const size = 8;
    const tile = document.createElement("canvas");
    tile.width = tile.height = Math.round(size * ratio);
    const pen = tile.getContext("2d");
    pen.scale(tile.width / size, tile.height / size);
    pen.globalAlpha = outcome === "succeeded" ? 0.34 : 0.2;
    pen.fillStyle = colour;
    pen.fillRect(0, 0, size, size);
    pen.globalAlpha = 0.62;
    if (outcome === "failed") hatch(pen, colour, size);
    if (outcome === "cancelled") dots(pen, colour, size);
    const pattern = context.createPattern(tile, "repeat");
    pattern.setTransform(new DOMMatrix().scale(size / tile.width, size / tile.height));
    return pattern;
  }
}

function hatch(pen, colour, size) {
  pen.strokeStyle = colour;
  pen.lineWidth = 1.6;
  for (const shift of [-size, 0, size]) {
    pen.beginPath();
    pen.moveTo(shift - 1, size + 1);
    pen.lineTo(shift + size + 1, -1);
    pen.stroke();
  }
}

function dots(pen, colour, size) {
  pen.fillStyle = colour;
  for (const [x, y] of [
    [2, 2],
    [6, 6],
  ]) {
    pen.beginPath();
    pen.arc(x, y, 1, 0, 7);
    pen.fill();
  }
}

/** A canvas as sharp as the screen: its own pixels, drawn on in those of the page. */
export function fitted(canvas, width, height) {
  const ratio = window.devicePixelRatio || 1;
  const [across, down] = [Math.max(1, Math.round(width * ratio)), Math.max(1, Math.round(height * ratio))];
  if (canvas.width !== across || canvas.height !== down) {
    canvas.width = across;
    canvas.height = down;
    canvas.style.width = `${width}px`;
    canvas.style.height = `${height}px`;
  }
  const context = canvas.getContext("2d");
  context.setTransform(across / width, 0, 0, down / height, 0, 0);
  context.clearRect(0, 0, width, height);
  return context;
}

/** The text cut so that it fits, with an ellipsis; "" where not even three letters do. */
export function cut(context, text, width) {
  if (width < 16) return "";
  const letters = Math.floor(width / 5.6);
  if (text.length <= letters * 0.8) return text;
  let shown = text.slice(0, Math.ceil(letters * 1.6));
  while (shown.length > 2 && context.measureText(shown + (shown.length < text.length ? "…" : "")).width > width)
    shown = shown.slice(0, -1);
  if (shown.length === text.length) return text;
  return shown.length > 2 ? shown + "…" : "";
}
