// A call opened: what was asked, what was answered, what it cost. Folded, its arguments on one line.

import { element } from "../dom.js";
import { tree } from "../tree.js";
import { fieldList, parts, promptIn, shortText } from "./payload.js";

const SHOWN = new Set(["arguments", "result", "error", "tool", "model", "tries", "messages", "message"]);

/** The arguments of a call on one line. */
export function argumentsText(event) {
  const { data } = event;
  if (Array.isArray(data?.messages)) return newMessages(data);
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

/** How much of a model's request is new: the log has each message once, where it was said first. */
function newMessages({ messages, after }) {
  const count = `${messages.length} ${messages.length === 1 ? "message" : "messages"}`;
  return after === undefined || after === null ? count : `${count} after event ${after}`;
}

/** Everything about a call: what was asked, what was answered, what it cost. */
export function callBody(item) {
  const { event, ended } = item;
  const asked = event.data?.arguments;
  const prompt = Array.isArray(event.data?.messages) ? event.data.messages : promptIn(asked);
  const answer = ended?.data ?? {};
  const noted = Object.fromEntries(
    Object.entries({ ...event.data, ...answer }).filter(
      ([name]) => !SHOWN.has(name),
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
    answer.message && part("answer", promptList([answer.message])),
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
    prompt.map(({ role, name, content, tool_calls: calls }) =>
      element(
        "div",
        { class: "prompt-message" },
        element("span", { class: "person-role" }, name ? `${role} ${name}` : role),
        typeof content === "string"
          ? element("div", { class: "prose" }, content)
          : content !== undefined && content !== null && tree(content),
        calls && tree(calls),
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
