// The two histories as rows: what is the same once, what differs side by side, what is folded as a count.

import { icon } from "../conversation/icons.js";
import { glanceText } from "../conversation/moments.js";
import { parts } from "../conversation/payload.js";
import { fewNames, receivers } from "../conversation/people.js";
import { element } from "../dom.js";
import { countText, durationText } from "../format.js";
import { fieldChanges, wordChanges } from "./fields.js";

const SAID_SHOWN = 160;

/** A row of events beside each other; `people` has the colours, `open(event)` shows details. */
export function pairRow(row, { people, open }) {
  if (row.type === "same") return sameRow(row, { people, open });
  const changed =
    row.type === "changed"
      ? new Set(
          fieldChanges(row.one, row.other)
            .filter((field) => !field.isSame && field.path !== "time")
            .map((field) => field.path),
        )
      : new Set();
  return element(
    "div",
    { class: `pair is-${row.type}`, tabindex: "-1", role: "row", dataset: { differs: "" } },
    side(row.one, "one", { people, open, changed }),
    side(row.other, "other", { people, open, changed }),
  );
}

function sameRow({ one, other }, { people, open }) {
  const isLater = one.time !== other.time;
  return element(
    "div",
    { class: "pair is-same", tabindex: "-1", role: "row" },
    element(
      "div",
      { class: "pair-side both", role: "cell", onclick: () => open(one) },
      line(one, { people, changed: new Set() }),
      isLater &&
        element(
          "span",
          { class: "faint", title: `${durationText(one.time)} and ${durationText(other.time)}` },
          `and at ${glanceText(other.time)}`,
        ),
    ),
  );
}

function side(event, which, { people, open, changed }) {
  if (event === undefined)
    return element("div", { class: `pair-side nothing of-${which}`, role: "cell", "aria-label": "nothing here" });
  return element(
    "div",
    { class: `pair-side of-${which}`, role: "cell", onclick: () => open(event) },
    line(event, { people, changed }),
  );
}

/** An event on a line: when, who, to whom, what. */
export function line(event, { people, changed }) {
  const { said, fields } = parts(event.data, { without: ["code", "file", "versions"] });
  const to = receivers(event.to);
  const texts = [
    ...fields,
    ...said.map(([name, text]) => [name, text.length > SAID_SHOWN ? `${text.slice(0, SAID_SHOWN)}…` : text]),
  ];
  return element(
    "div",
    { class: "event-line" },
    element(
      "time",
      { class: "event-time faint", title: `${durationText(event.time)} · event ${event.seq}` },
      glanceText(event.time),
    ),
    people.avatar(event.agent, { small: true }),
    element(
      "span",
      { class: "event-words" },
      mark(changed.has("agent"), people.name(event.agent)),
      to.length > 0 &&
        element("span", { class: "faint", title: to.join(", ") }, " to ", mark(changed.has("to"), fewNames(to, 2))),
      " ",
      mark(changed.has("kind"), element("span", { class: "event-kind" }, event.kind)),
      event.kind.startsWith("goal.") && event.goal && element("b", {}, ` ${event.goal}`),
      texts
        .map(([name, text]) => [
          " ",
          element(
            "span",
            { class: "field-pair" },
            element("span", { class: "field-name" }, name),
            " ",
            mark(isIn(changed, name), element("span", { class: "field-value" }, text)),
          ),
        ])
        .flat(),
    ),
  );
}

const isIn = (changed, name) =>
  [...changed].some((path) => path === `.${name}` || path.startsWith(`.${name}.`) || path.startsWith(`.${name}[`));
const mark = (isChanged, shown) => (isChanged ? element("mark", {}, shown) : shown);

/** A run of events that are the same, which unfolds. */
export function foldRow(rows, { people, open }) {
  const box = element("div", { class: "diff-fold" });
  const button = element(
    "button",
    { class: "diff-fold-head", type: "button", "aria-expanded": "false" },
    icon("fold"),
    `${countText(rows.length)} ${rows.length === 1 ? "event is" : "events are"} the same`,
  );
  button.addEventListener("click", () => {
    const isOpen = box.childElementCount === 1;
    button.setAttribute("aria-expanded", String(isOpen));
    if (isOpen) box.append(...rows.map((row) => pairRow(row, { people, open })));
    else box.replaceChildren(button);
  });
  box.append(button);
  return box;
}

/** The first difference, field by field. */
export function explained(one, other) {
  const fields = fieldChanges(one, other);
  const shown =
    one && other && one.kind === other.kind
      ? [...fields.filter((field) => !field.isSame), ...fields.filter((field) => field.isSame)]
      : fields;
  return element(
    "table",
    { class: "fields-table" },
    element(
      "tbody",
      {},
      shown.map((field) =>
        element(
          "tr",
          { class: field.isSame ? "is-same" : "differs" },
          element("th", { scope: "row", class: "mono" }, field.path),
          cells(field),
        ),
      ),
    ),
  );
}

function cells({ one, other, isSame }) {
  if (isSame || one === undefined || other === undefined)
    return [one, other].map((text) =>
      element("td", {}, text === undefined ? element("span", { class: "faint" }, "–") : element("span", {}, text)),
    );
  const words = wordChanges(one, other);
  return [words.one, words.other].map((pieces, place) =>
    element(
      "td",
      { class: place === 0 ? "of-one" : "of-other" },
      pieces.map(([text, isOnlyHere]) => mark(isOnlyHere, text)),
    ),
  );
}
