// Agents for the eye: a colour and initials each, the same wherever they are shown.
//
// An agent's colour comes from its id. Where two that are shown together would have the same one, the later in the
// alphabet takes the next that is free; there are eight, so of nine agents two look alike.

import { element } from "../dom.js";

const COLOURS = 8;

/** A number from a text, the same on every day and machine (FNV-1a). */
function hash(text) {
  let value = 0x811c9dc5;
  for (const letter of text) value = Math.imul(value ^ letter.codePointAt(0), 0x01000193) >>> 0;
  return value;
}

/** "buyer-341" -> "B341", "ada" -> "AD", "Mary Ann" -> "MA". */
export function initials(id) {
  const words = id.split(/[^\p{L}\p{N}]+/u).filter(Boolean);
  if (words.length === 0) return "?";
  const number = words
    .filter((word) => /^\d+$/.test(word))
    .join("")
    .slice(0, 3);
  const names = words.filter((word) => !/^\d+$/.test(word));
  if (number && names.length > 0) return names[0][0].toUpperCase() + number;
  if (names.length > 1) return (names[0][0] + names[1][0]).toUpperCase();
  return (names[0] ?? number).slice(0, 2).toUpperCase();
}

/** Who is shown together, and in which colours. */
export class People {
  constructor(ids = []) {
    this.places = new Map();
    const taken = new Set();
    for (const id of [...new Set(ids)].sort()) {
      if (taken.size === COLOURS) taken.clear();
      let place = hash(id) % COLOURS;
      while (taken.has(place)) place = (place + 1) % COLOURS;
      taken.add(place);
      this.places.set(id, place);
    }
  }

  /** The CSS colour of an agent. */
  colour(id) {
    if (!id) return "var(--text-muted)";
    return `var(--category-${(this.places.get(id) ?? hash(id) % COLOURS) + 1})`;
  }

  /** A round sign with its initials. */
  avatar(id, { small = false } = {}) {
    const name = id || "the simulation";
    const whole = id ? initials(id) : "";
    const text = small && whole.length > 3 ? whole[0] : whole;
    const size = text.length > 3 ? " four" : text.length > 2 ? " three" : "";
    return element(
      "span",
      {
        class: `avatar${small ? " small" : ""}${id ? "" : " program"}${size}`,
        title: name,
        "aria-hidden": "true",
        style: { "--person": this.colour(id) },
      },
      text,
    );
  }

  /** Its name, in its colour. */
  name(id) {
    return element("span", { class: "person", style: { "--person": this.colour(id) } }, id || "the simulation");
  }
}

/** "ada, ben" as the language shows several agents -> ["ada", "ben"]. */
export const receivers = (to) => (Array.isArray(to) ? to : to ? String(to).split(", ") : []);

/** A few names, and how many more: "ada, ben and 6 more". */
export function fewNames(ids, most = 3) {
  if (ids.length <= most) return ids.length < 2 ? ids.join("") : `${ids.slice(0, -1).join(", ")} and ${ids.at(-1)}`;
  return `${ids.slice(0, most - 1).join(", ")} and ${ids.length - most + 1} more`;
}
