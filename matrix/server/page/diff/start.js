// What stands there before two simulations are chosen: pairs that are worth comparing.

import { element } from "../dom.js";
import { countText } from "../format.js";
import { suggestions } from "./suggestions.js";

/** The page; `chosen` is the one simulation that is chosen already, if one is. */
export function startPage(simulations, chosen, context) {
  const found = suggestions(simulations, chosen);
  const groups = found.map(({ title, pairs }) =>
    element(
      "section",
      { class: "suggestion-group" },
      element("h2", {}, title),
      element(
        "div",
        { class: "suggestion-pairs" },
        pairs.map(([one, other]) => pairLink(one, other, context)),
      ),
    ),
  );
  const words = element("p", { class: "muted" }, wordsFor(simulations, found));
  return element("div", { class: "diff-empty" }, element("h1", {}, "Compare two simulations"), words, groups);
}

function wordsFor(simulations, found) {
  if (found.length > 0) return "Choose two simulations above, or one of these pairs.";
  if (simulations.length > 1) return "Choose two simulations above.";
  return [
    "There are not two simulations in this store. A fork makes a second one: ",
    element("code", {}, "matrix fork STORE SIMULATION --at SEQ"),
  ];
}

function pairLink(one, other, context) {
  const both = one.status === other.status ? `both ${one.status}` : `${one.status}, ${other.status}`;
  const fork = [one, other].find(({ forked_at: at }) => at !== null && at !== undefined);
  const facts = [
    one.seed !== null && `seeds ${one.seed} and ${other.seed}`,
    fork && `${fork.id} forked at event ${countText(fork.forked_at)}`,
    both,
  ];
  const ids = [
    element("span", { class: "of-one" }, one.id),
    element("span", { class: "faint" }, " and "),
    element("span", { class: "of-other" }, other.id),
  ];
  return element(
    "a",
    { class: "suggestion", href: context.link("diff", { one: one.id, other: other.id }) },
    element("span", { class: "suggestion-ids" }, ids),
    element("span", { class: "muted" }, facts.filter(Boolean).join(" · ")),
  );
}
