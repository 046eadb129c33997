// Lines over the buckets of `per`, with a cursor that says the values of the bucket it is in.

import { svg } from "../dom.js";
import { cellText } from "../format.js";
import { niceEnd, ticks, tickText } from "./scale.js";

const DOTS_MAX = 80;

/** Draw lines into a picture of this size. `tell([[name, text, color]], event, title)` for the bucket pointed at. */
export function lines({ series }, { width, height, xType, type, color, label, tell }) {
  const frame = frameOf(series, { width, height, xType, type });
  const picture = svg("svg", { width, height, role: "img", "aria-label": label });
  picture.append(...axes(frame, { width, height, xType, type }));
  series.forEach(({ name, points }, place) => {
    const path = points
      .map(([x, y], at) => `${at === 0 ? "M" : "L"}${frame.x(x).toFixed(1)} ${frame.y(y).toFixed(1)}`)
      .join("");
    picture.append(svg("path", { class: "chart-line", d: path, style: { stroke: color(name, place) } }));
    if (points.length <= DOTS_MAX) {
      picture.append(
        ...points.map(([x, y]) =>
          svg("circle", {
            class: "chart-dot",
            cx: frame.x(x),
            cy: frame.y(y),
            r: 2.5,
            style: { fill: color(name, place) },
          }),
        ),
      );
    }
  });
  cursor(picture, series, frame, { height, xType, type, color, tell });
  return picture;
}

function frameOf(series, { width, height, xType, type }) {
  const xs = series.flatMap(({ points }) => points.map(([x]) => x));
  const ys = series.flatMap(({ points }) => points.map(([, y]) => y));
  const low = xs.reduce((least, x) => Math.min(least, x), Infinity);
  const high = xs.reduce((most, x) => Math.max(most, x), -Infinity);
  const bottom = Math.min(
    0,
    ys.reduce((least, y) => Math.min(least, y), 0),
  );
  const end = niceEnd(
    ys.reduce((most, y) => Math.max(most, y), 0),
    5,
    type,
  );
  const left = Math.max(44, ...ticks(bottom, end, 5, type).map((tick) => tickText(tick, type).length * 7.2 + 18));
  const [top, right, under] = [14, 24, 30];
  const span = high - low || 1;
  return {
    low,
    high,
    bottom,
    end,
    left,
    top,
    right: width - right,
    under: height - under,
    xType,
    xs: [...new Set(xs)].sort((one, other) => one - other),
    x: (x) => left + ((x - low) / span) * (width - left - right),
    y: (y) => height - under - ((y - bottom) / (end - bottom || 1)) * (height - top - under),
  };
}

function axes(frame, { width, height, xType, type }) {
  const made = [];
  for (const tick of ticks(frame.bottom, frame.end, 5, type)) {
    const y = Math.round(frame.y(tick)) + 0.5;
    made.push(svg("line", { class: "chart-grid", x1: frame.left, x2: frame.right, y1: y, y2: y }));
    made.push(
      svg(
        "text",
        { class: "chart-tick", x: frame.left - 8, y, "text-anchor": "end", "dominant-baseline": "central" },
        tickText(tick, type),
      ),
    );
  }
  const wide = xType === "time" ? 150 : 90;
  for (const tick of ticks(frame.low, frame.high, Math.max(2, Math.floor(width / wide)), xType)) {
    const x = Math.round(frame.x(tick)) + 0.5;
    made.push(svg("line", { class: "chart-stroke", x1: x, x2: x, y1: frame.under, y2: frame.under + 4 }));
    made.push(svg("text", { class: "chart-tick", x, y: height - 10, "text-anchor": "middle" }, tickText(tick, xType)));
  }
  made.push(
    svg("line", {
      class: "chart-stroke",
      x1: frame.left,
      x2: frame.right,
      y1: frame.under + 0.5,
      y2: frame.under + 0.5,
    }),
  );
  return made;
}

function cursor(picture, series, frame, { xType, type, color, tell }) {
  const line = svg("line", { class: "chart-cursor", y1: frame.top, y2: frame.under, visibility: "hidden" });
  const maps = series.map(({ points }) => new Map(points));
  picture.append(line);
  picture.addEventListener("pointermove", (event) => {
    const at = event.clientX - picture.getBoundingClientRect().left;
    const x = frame.xs.reduce(
      (best, each) => (Math.abs(frame.x(each) - at) < Math.abs(frame.x(best) - at) ? each : best),
      frame.xs[0],
    );
    line.setAttribute("x1", frame.x(x));
    line.setAttribute("x2", frame.x(x));
    line.setAttribute("visibility", "visible");
    const told = series.map(({ name }, place) => [
      name,
      cellText(maps[place].get(x) ?? null, type),
      color(name, place),
    ]);
    tell(
      told.filter(([, text]) => text !== ""),
      event,
      tickText(x, xType),
    );
  });
  picture.addEventListener("pointerleave", () => {
    line.setAttribute("visibility", "hidden");
    tell("");
  });
}
