// What is in the store, and questions to begin with.

import { element } from "./dom.js";
import { countText } from "./format.js";

export class Overview {
  constructor(host, context, run) {
    this.run = run;
    this.box = element("div", { class: "overview" }, element("div", { class: "loading" }));
    host.append(this.box);
    context.connection.info().then((info) => this.#show(info), () => {});
  }

  #show(info) {
    this.box.replaceChildren(
      element("p", {}, `${countText(info.events)} events, ${countText(info.agents)} agents`),
      ...["simulations", "agents | count by role", "events | count by kind", "events | limit 1000"].map((text) =>
        element("p", {}, element("button", { class: "button", type: "button", onclick: () => this.run(text) }, text))),
    );
  }
}
