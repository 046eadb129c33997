// What stands around the rows of a watch: the rate with its curve, counts as bars, goals by outcome, how it ended.

import { element, svg } from "../dom.js";
import { countText, durationText } from "../format.js";
import { glanceText } from "../conversation/moments.js";

const WIDTH = 240;
const HEIGHT = 40;
const SAMPLES = 120;
const KINDS_SHOWN = 40;
const OUTCOMES = [
  ["succeeded", "good"],
  ["failed", "bad"],
  ["cancelled", "cancelled"],
  ["running", "running"],
];

/** A number with its name. */
export function tile(name, value, ...more) {
  return element(
    "div",
    { class: "tile" },
    element("span", { class: "tile-name" }, name),
    element("span", { class: "tile-value" }, value),
    ...more,
  );
}

/** A rate that reads well: 0.4, 12, 1,340. */
export const rateText = (rate) => (rate > 0 && rate < 10 ? rate.toFixed(1) : countText(Math.round(rate)));

/** The curve of the last rates, newest at the right. */
export function sparkline(rates) {
  const highest = Math.max(1, ...rates.map(({ rate }) => rate));
  const step = WIDTH / (SAMPLES - 1);
  const first = SAMPLES - rates.length;
  const points = rates.map(
    ({ rate }, place) =>
      `${((first + place) * step).toFixed(1)},${(HEIGHT - 2 - (rate / highest) * (HEIGHT - 6)).toFixed(1)}`,
  );
  const label =
    rates.length > 0
      ? `events a second, at most ${rateText(highest)} in the last ${rates.length} samples`
      : "no rates yet";
  return svg(
    "svg",
    {
      class: "sparkline",
      viewBox: `0 0 ${WIDTH} ${HEIGHT}`,
      preserveAspectRatio: "none",
      role: "img",
      "aria-label": label,
    },
    svg("title", {}, label),
    points.length > 1 &&
      svg("path", {
        class: "spark-area",
        d: `M${(first * step).toFixed(1)},${HEIGHT} L${points.join(" L")} L${WIDTH},${HEIGHT} Z`,
      }),
    points.length > 1 &&
      svg("path", { class: "spark-line", d: `M${points.join(" L")}`, "vector-effect": "non-scaling-stroke" }),
  );
}

/** Counts as bars: [{kind, count}], the largest first. */
export function bars(kinds, { onChoose }) {
  if (kinds.length === 0) return element("p", { class: "muted" }, "No events yet.");
  const most = Math.max(...kinds.map(({ count }) => count));
  const shown = kinds
    .slice(0, KINDS_SHOWN)
    .map(({ kind, count }) =>
      element(
        "button",
        { class: "bar-row", type: "button", title: `watch ${kind}`, onclick: () => onChoose(kind) },
        element("span", { class: "bar-fill", style: { width: `${Math.max(0.5, (count / most) * 100)}%` } }),
        element("span", { class: "bar-name mono" }, kind),
        element("span", { class: "bar-count" }, countText(count)),
      ),
    );
  if (kinds.length > KINDS_SHOWN)
    shown.push(element("p", { class: "faint" }, `and ${kinds.length - KINDS_SHOWN} more kinds`));
  return element("div", { class: "bars" }, shown);
}

/** Goals by outcome: one bar in parts, and the numbers. */
export function goalBar(goals) {
  const total = OUTCOMES.reduce((sum, [status]) => sum + (goals[status] ?? 0), 0);
  if (total === 0) return element("span", { class: "faint" }, "none yet");
  const there = OUTCOMES.filter(([status]) => goals[status] > 0);
  return element(
    "div",
    { class: "goal-bar-box" },
    element(
      "div",
      { class: "goal-bar", "aria-hidden": "true" },
      there.map(([status, look]) =>
        element("span", { class: `of-${look}`, style: { "flex-grow": String(goals[status]) } }),
      ),
    ),
    element(
      "div",
      { class: "goal-counts" },
      there.map(([status, look]) =>
        element("span", { class: `outcome-${look}` }, element("b", {}, countText(goals[status])), ` ${status}`),
      ),
    ),
  );
}

/** How a simulation came out, with the ways on. */
export function outcomeCard(run, counts, context) {
  const way = (title, view, params) => element("a", { class: "button", href: context.link(view, params) }, title);
  const look = { finished: "good", failed: "bad", stopped: "cancelled" }[run.status] ?? "running";
  const reason = run.data?.reason;
  const facts = [
    `${countText(counts.events)} events`,
    `${durationText(run.duration)} of virtual time`,
    run.took !== null && `in ${glanceText(run.took)}`,
  ].filter(Boolean);
  return element(
    "section",
    { class: `outcome-card is-${look}`, role: "status" },
    element("span", { class: `chip ${look}` }, run.status),
    element(
      "span",
      {},
      element("b", {}, run.name && run.name !== run.id ? `${run.name} ${run.id}` : run.id),
      reason && reason !== "completed" ? ` ended: ${reason}` : " came to its end",
    ),
    element("span", { class: "muted" }, facts.join(", ")),
    element("span", { class: "spring" }),
    way("Time line", "timeline", { simulation: run.id }),
    way("Conversations", "conversation", { simulation: run.id }),
    run.parent && way("Compare with its parent", "diff", { one: run.parent, other: run.id }),
  );
}

/** The simulations of the store, newest first. */
export function runList(runs, { onChoose }) {
  if (runs.length === 0) return element("p", { class: "muted" }, "None yet.");
  return element(
    "div",
    { class: "run-list" },
    runs.map((run) =>
      element(
        "button",
        { class: "live-run", type: "button", onclick: () => onChoose(run.id) },
        element("span", { class: `run-dot status-${run.status}` }),
        element("b", {}, run.id.length > 18 ? `${run.id.slice(0, 8)}…` : run.id),
        element("span", { class: "muted" }, run.name !== run.id ? run.name : ""),
        element("span", { class: "spring" }),
        element("span", { class: `status-${run.status}` }, run.status),
      ),
    ),
  );
}
