// A call opened: what was asked, what was answered, what it cost. Folded, its arguments on one line.

import { element } from "../dom.js";
import { tree } from "../tree.js";
import { fieldList, parts, promptIn, shortText } from "./payload.js";

/** The arguments of a call on one line. */
export function argumentsText(event) {
  const { data } = event;
  const prompt = promptIn(data?.arguments);
  if (prompt) return `${prompt.length} ${prompt.length === 1 ? "message" : "messages"}`;
  const given = data?.arguments;
  if (given === undefined || given === null) return "";
  if (typeof given !== "object") return String(given);
  const shown = Object.entries(given).map(([name, value]) => {
    const text = shortText(value) ?? "…";
    return Array.isArray(given) ? text : `${name} ${text}`;
  });
  return shown.join(" · ");
}

/** Everything about a call: what was asked, what was answered, what it cost. */
export function callBody(item) {
  const { event, ended } = item;
  const asked = event.data?.arguments;
  const prompt = promptIn(asked);
  const answer = ended?.data ?? {};
  const noted = Object.fromEntries(
    Object.entries({ ...event.data, ...answer }).filter(
      ([name]) => !["arguments", "result", "error", "tool", "model", "tries"].includes(name),
    ),
  );
  return element(
    "div",
    { class: "call-body" },
    prompt ? part("asked", promptList(prompt)) : asked !== undefined && part("arguments", tree(asked)),
    answer.tries && part("tries before", tree(answer.tries)),
    answer.error !== undefined &&
      part("error", element("div", { class: "prose bad" }, shortText(answer.error) ?? tree(answer.error))),
    answer.result !== undefined && answer.result !== null && part("answer", resultOf(answer.result)),
    ended === undefined && part("answer", element("span", { class: "faint" }, "none in the log")),
    Object.keys(noted).length > 0 && part("noted", tree(noted)),
  );
}

const part = (name, shown) =>
  element("div", { class: "call-part" }, element("span", { class: "part-name" }, name), shown);

function promptList(prompt) {
  return element(
    "div",
    { class: "prompt" },
    prompt.map(({ role, name, content }) =>
      element(
        "div",
        { class: "prompt-message" },
        element("span", { class: "person-role" }, name ? `${role} ${name}` : role),
        typeof content === "string" ? element("div", { class: "prose" }, content) : tree(content),
      ),
    ),
  );
}

function resultOf(result) {
  if (typeof result !== "object") return element("div", { class: "prose" }, String(result));
  const { said, fields, folded } = parts(result);
  if (Object.keys(folded).length > 0) return tree(result);
  return element(
    "div",
    {},
    said.map(([, text]) => element("div", { class: "prose" }, text)),
    fieldList(fields),
  );
}
