// What stands before the page while there is no way in: a field for the token, or word that the server is gone. Where
// something is shown already it stays readable, under a strip that says so.

import { element } from "./dom.js";
import { keepToken } from "./location.js";

/** Shown while the connection is refused, or lost before it ever stood; hides itself. */
export class Gate {
  constructor(host, connection) {
    this.host = host;
    this.connection = connection;
    connection.addEventListener("state", () => this.#update());
    this.#update();
  }

  #update() {
    const { state, welcome } = this.connection;
    if (state === "refused") this.#show(this.#askToken());
    else if (state === "lost" && welcome) this.#show(this.#strip());
    else if (state === "lost") this.#show(this.#lost());
    else if (state === "open") this.#hide();
  }

  #show(card) {
    this.host.hidden = false;
    this.host.classList.toggle("is-strip", card.classList.contains("strip"));
    this.host.replaceChildren(card);
    card.querySelector("input")?.focus();
  }

  #hide() {
    this.host.hidden = true;
    this.host.replaceChildren();
  }

  #askToken() {
    const field = element("input", {
      class: "field mono",
      type: "password",
      name: "token",
      autocomplete: "off",
      spellcheck: "false",
      "aria-label": "Token",
      required: true,
    });
    const submit = (event) => {
      event.preventDefault();
      const token = tokenOf(field.value);
      keepToken(token);
      this.connection.reconnect(token);
    };
    return element(
      "div",
      { class: "card", role: "dialog", "aria-labelledby": "gate-title" },
      element("h1", { id: "gate-title" }, "This store asks for a token"),
      element(
        "p",
        { class: "muted" },
        "It stands in the link that the server printed when it started. Paste the link, or the token alone.",
      ),
      element(
        "form",
        { onsubmit: submit },
        field,
        element("button", { class: "button primary", type: "submit" }, "Connect"),
      ),
      this.connection.token &&
        element(
          "p",
          { class: "problem", role: "alert" },
          "That is not the token of this server. A server that was started anew has a new one.",
        ),
    );
  }

  #strip() {
    const again = element(
      "button",
      { class: "button", type: "button", onclick: () => this.connection.reconnect() },
      "Try now",
    );
    return element(
      "div",
      { class: "strip", role: "alert" },
      element("strong", {}, "The server does not answer."),
      element("span", {}, "What is shown stays; the page connects again by itself, and goes on where it was."),
      element("span", { class: "spring" }),
      again,
    );
  }

  #lost() {
    const again = element(
      "button",
      { class: "button primary", type: "button", onclick: () => this.connection.reconnect() },
      "Try now",
    );
    return element(
      "div",
      { class: "card", role: "alert" },
      element("h1", {}, "The server does not answer"),
      element(
        "p",
        { class: "muted" },
        "The page connects again by itself, and goes on where it was. If the server has ended, start it anew with: ",
        element("code", {}, "matrix serve STORE"),
      ),
      element("form", { onsubmit: (event) => event.preventDefault() }, again),
    );
  }
}

/** The token in what was pasted: the token itself, or a link that has it. */
function tokenOf(text) {
  const found = /[#&]token=([^&\s]+)/.exec(text);
  return found ? decodeURIComponent(found[1]) : text.trim();
}
