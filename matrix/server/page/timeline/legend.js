// Below the lanes: what colours, patterns and marks mean. Kinds have colours by how often they are there, eight of them; the others are grey.

import { element } from "../dom.js";
import { OUTCOMES, fitted } from "./palette.js";
import { family, shapes } from "./marks.js";

const KINDS_MAX = 7;
const QUIET = /^(agent|simulation|goal|state)\./;
const MARKS = [
  ["life", "begins, ends"],
  ["state", "state"],
  ["call", "call"],
  ["failed", "failure"],
];

export class Legend {
  constructor(host, palette) {
    this.host = host;
    this.palette = palette;
    this.colours = new Map();
  }

  show(kinds) {
    const own = kinds.filter(({ kind }) => !QUIET.test(kind)).slice(0, KINDS_MAX);
    this.colours = new Map(own.map(({ kind }, place) => [kind, this.palette.kinds[place]]));
    const families = new Set(kinds.map(({ kind }) => family(kind)));
    this.host.replaceChildren(
      ...OUTCOMES.map((outcome) => this.#item(outcome, (pen) => this.#bar(pen, outcome))),
      element("span", { class: "timeline-rule" }),
      ...own.map(({ kind }) => this.#item(kind, (pen) => mark(pen, kind, this.colours.get(kind)))),
      ...MARKS.filter(([shape]) => families.has(shape)).map(([shape, words]) =>
        this.#item(words, (pen) => {
          pen.fillStyle = shape === "failed" ? this.palette.failed : this.palette.muted;
          shapes[shape](pen, 9, 7, 3.4);
        }),
      ),
      element("span", { class: "spring" }),
      element(
        "span",
        { class: "faint timeline-hint" },
        "wheel zooms · drag moves · ",
        element("kbd", {}, ","),
        " ",
        element("kbd", {}, "."),
        " step · ",
        element("kbd", {}, "?"),
        " keys",
      ),
    );
  }

  #item(text, draw) {
    const canvas = element("canvas", { "aria-hidden": "true" });
    draw(fitted(canvas, 18, 14));
    return element("span", { class: "timeline-key" }, canvas, text);
  }

  #bar(pen, outcome) {
    pen.fillStyle = this.palette.fill(pen, outcome);
    pen.fillRect(0, 1, 18, 12);
    pen.strokeStyle = this.palette[outcome];
    pen.setLineDash(outcome === "cancelled" ? [2, 2] : []);
    pen.beginPath();
    if (outcome === "running")
      for (const [x, y] of [
        [18, 1.5],
        [0.5, 1.5],
        [0.5, 12.5],
        [18, 12.5],
      ])
        pen.lineTo(x, y);
    else pen.rect(0.5, 1.5, 17, 11);
    pen.stroke();
  }
}

function mark(pen, kind, colour) {
  pen.fillStyle = colour;
  shapes[family(kind)](pen, 9, 7, 3.4);
}
