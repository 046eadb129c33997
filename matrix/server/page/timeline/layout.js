// The elements of the time line: three canvases in a column, what is selected beside them, the legend below.

import { element } from "../dom.js";

/** Fills the host. The lanes scroll by themselves: a spacer is as high as all of them, and the canvas stays where it is. */
export function layout(host, controls) {
  const mapCanvas = element("canvas", { class: "timeline-map", "aria-hidden": "true" });
  const headCanvas = element("canvas", { class: "timeline-head", "aria-hidden": "true" });
  const canvas = element("canvas", { class: "timeline-canvas" });
  const spacer = element("div", { class: "timeline-spacer" });
  const label = "Lanes of agents. Arrow keys move, plus and minus zoom, comma and full stop step from event to event.";
  const lanesHost = element(
    "div",
    {
      class: "timeline-lanes",
      tabindex: "0",
      role: "application",
      "aria-roledescription": "time line",
      "aria-label": label,
    },
    canvas,
    spacer,
  );
  const message = element("div", { class: "timeline-message", hidden: true });
  const tip = element("div", { class: "timeline-tip", hidden: true, role: "tooltip" });
  const told = element("div", { class: "visually-hidden", role: "status", "aria-live": "polite" });
  const side = element("aside", {
    class: "timeline-side",
    "aria-label": "What is selected, and what is at the cursor",
  });
  const foot = element("footer", { class: "timeline-foot" });
  const wait = element("div", { class: "loading timeline-wait" });
  const main = element("div", { class: "timeline-main" }, mapCanvas, headCanvas, lanesHost, message, wait, tip);
  host.append(controls, element("div", { class: "timeline-body" }, main, side), foot, told);
  return { mapCanvas, headCanvas, canvas, spacer, lanesHost, message, tip, told, side, foot, wait, main };
}
