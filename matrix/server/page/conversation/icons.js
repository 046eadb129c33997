// Small drawings, 16 by 16, in the colour of the text around them.

import { svg } from "../dom.js";

const PATHS = {
  tool: "M10.8 2a3.2 3.2 0 0 0-3 4.3L2.6 11.5a1.4 1.4 0 0 0 2 2l5.1-5.2A3.2 3.2 0 0 0 13.9 4.3l-2 2-1.8-.4-.4-1.8 2-2a3.2 3.2 0 0 0-.9-.1z",
  model: "M8 1.8l1.5 4.7L14.2 8l-4.7 1.5L8 14.2 6.5 9.5 1.8 8l4.7-1.5z",
  call: "M3 8h9M8.5 4.5L12 8l-3.5 3.5",
  goal: "M4 14V2.5M4 3h8l-2 2.7L12 8.5H4",
  state: "M8 2.5l5.5 5.5L8 13.5 2.5 8z",
  event: "M8 5.5a2.5 2.5 0 1 0 0 5 2.5 2.5 0 0 0 0-5z",
  private: "M4.5 7V5.2a3.5 3.5 0 0 1 7 0V7M3.5 7h9v6.5h-9z",
  timeline: "M2 4h6M5 8h8M3.5 12h5",
  causes: "M4 2.5v7a2 2 0 0 0 2 2h6M4 5.5h8M10 3.5l2 2-2 2M10 9.5l2 2-2 2",
  details: "M8 7.2V12M8 4.2v.6M8 1.8a6.2 6.2 0 1 0 0 12.4A6.2 6.2 0 0 0 8 1.8z",
  fold: "M6 4l4 4-4 4",
  pause: "M5.5 3.5v9M10.5 3.5v9",
  play: "M5 3.2l7.5 4.8L5 12.8z",
  swap: "M4 5h9l-2.5-2.5M12 11H3l2.5 2.5",
};
const FILLED = new Set(["model", "event", "play"]);

/** One of them, by name. */
export function icon(name) {
  const isFilled = FILLED.has(name);
  return svg(
    "svg",
    { viewBox: "0 0 16 16", width: 14, height: 14, class: `icon icon-${name}`, "aria-hidden": "true" },
    svg("path", {
      d: PATHS[name],
      fill: isFilled ? "currentColor" : "none",
      stroke: "currentColor",
      "stroke-width": 1.4,
      "stroke-linejoin": "round",
      "stroke-linecap": "round",
    }),
  );
}
