// Conversations: a list to choose from at the left, what was said at the right, with calls and goals between.
//
// The URL says which: `conversation`, or `agent` (all it did and got), or `of=all` (the whole simulation); `simulation`
// or `query` which are in the list; `search`, `found` (in texts), `order`; `message` the chosen one, `at` a moment;
// `without` what is left out (calls, goals, others).

import { Follow } from "./conversation/follow.js";
import { Head, without } from "./conversation/head.js";
import { Side } from "./conversation/side.js";
import * as sources from "./conversation/sources.js";
import { Transcript } from "./conversation/transcript.js";
import { element } from "./dom.js";

const BEFORE = 200; // events shown before the one that was asked for, where only a part can be shown
const PART = 10_000; // events from which on only the part around a message is shown
const LATE_MS = 120; // what takes longer shows that it is loading

export class ConversationView {
  constructor(host, context) {
    this.context = context;
    this.params = {};
    this.told = undefined;
    this.side = new Side(host, {
      connection: context.connection,
      go: (changes) => this.#go(changes),
      again: () => this.show(this.params),
      choose: (what) => this.#choose(what),
      pick: (simulation) => context.navigate("conversation", { simulation }),
    });
    const right = element("div", { class: "transcript-side" });
    host.append(right);
    this.head = new Head(right, { context, onWithout: (left) => this.#leaveOut(left) });
    this.loading = element("div", { class: "loading", hidden: true });
    this.box = element("div", { class: "transcript-box" });
    right.append(this.loading, this.box);
    this.transcript = new Transcript(this.box, {
      context,
      onChoose: (message) => this.#go({ message, at: "" }),
      onMore: (from) => this.#more(from),
    });
    this.nothing = element("div", { class: "empty transcript-empty", hidden: true });
    this.box.append(this.nothing);
    context.keys?.add("Conversations", [
      { keys: "j k", label: "next, and the one before" },
      { keys: "Space", label: "unfold a call, or fold it" },
      { keys: "Enter", label: "details of a message" },
      { keys: "c", label: "its causes" },
      { keys: "l", label: "the time line at that moment" },
    ]);
  }

  destroy() {
    this.asking?.abort();
    this.follow?.stop();
    this.context.keys?.remove("Conversations");
    this.side.destroy();
    this.transcript.destroy();
  }

  /** Show what the URL says; only what changed is asked for again. */
  async show(params) {
    this.params = { ...params };
    if (params.message && !this.#isTold()) await this.#findMessage(params.message);
    await this.side.show(this.params);
    if (!this.#isTold()) this.#chooseFirst();
    await this.#showTranscript();
  }

  #isTold() {
    return Boolean(this.params.conversation || this.params.agent || this.params.of);
  }

  /** Change the URL. */
  #go(changes) {
    this.params = { ...this.params, ...changes };
    this.context.navigate("conversation", this.params, { replace: true });
    return this.params;
  }

  /** Show another transcript. */
  async #choose(what) {
    this.#go({ conversation: "", agent: "", of: "", message: "", at: "", ...what });
    await this.#showTranscript();
  }

  #chooseFirst() {
    const conversation = this.side.list.first();
    if (conversation) this.#go({ conversation });
    else if (this.side.simulation && !this.params.query && !this.params.found) this.#go({ of: "all" });
  }

  async #findMessage(id) {
    const found = await this.context.connection.query("messages where id = $id | select conversation", {
      params: { id },
    });
    if (found.length > 0) this.params.conversation = found.get(0, "conversation");
    else Object.assign(this.params, { of: "all", simulation: id.slice(0, id.lastIndexOf(":")) });
  }

  async #showTranscript() {
    const { conversation = "", agent = "", of = "", message = "", at = "", found = "" } = this.params;
    this.side.mark(this.params);
    const wanted = JSON.stringify([conversation, agent, of, found, conversation ? "" : this.side.simulation]);
    if (wanted !== this.told) {
      this.told = wanted;
      this.follow?.stop();
      if (!(await this.#tell())) return;
      this.#followNews();
    }
    this.transcript.hide(without(this.params));
    if (message) this.transcript.choose(message, { middle: true });
    else if (at) this.transcript.revealTime(Number(at));
    else if (found) this.transcript.revealText();
  }

  /** Fetch and show; false when something else was asked for meanwhile. */
  async #tell({ isAgain = false } = {}) {
    this.asking?.abort();
    const asking = new AbortController();
    this.asking = asking;
    const late = isAgain ? undefined : setTimeout(() => (this.loading.hidden = false), LATE_MS);
    try {
      const source = await this.#source(asking.signal);
      if (asking.signal.aborted) return false;
      this.#take(source, isAgain);
      return true;
    } catch (error) {
      if (asking.signal.aborted) return false;
      this.told = undefined;
      throw error;
    } finally {
      clearTimeout(late);
      if (this.asking === asking) this.loading.hidden = true;
    }
  }

  #source(signal) {
    const { connection } = this.context;
    const { conversation, agent, of, message } = this.params;
    const { simulation } = this.side;
    if (conversation) {
      const own = conversation.slice(0, conversation.lastIndexOf("/"));
      return sources.conversation(
        connection,
        { simulation: own, conversation, known: this.isFollowed ? undefined : this.side.list.known(conversation) },
        signal,
      );
    }
    if (agent && simulation) return sources.ofAgent(connection, { simulation, agent }, signal);
    if (of !== "all" || !simulation) return Promise.resolve({ events: [], total: 0 });
    const seq = message ? Number(message.slice(message.lastIndexOf(":") + 1)) : 0;
    return sources.whole(connection, { simulation, from: seq > PART ? seq - BEFORE : 0 }, signal);
  }

  #take(source, isAgain) {
    const { conversation, found } = this.params;
    const { events, agents, next } = source;
    const isPair = Boolean(conversation) && agents?.length === 2;
    this.transcript.take(events, { agents, people: this.side.list.people, isPair, next, found, isAgain });
    this.head.show(source, { params: this.params, transcript: this.transcript, simulations: this.side.simulations });
    this.nothing.hidden = events.length > 0;
    if (!this.nothing.hidden) this.#sayNothing();
  }

  #sayNothing() {
    const { found } = this.params;
    const [title, text] = this.#isTold()
      ? ["Nothing was said here", "No event of it is in the log yet."]
      : ["No conversations", found ? `Nobody said “${found}”.` : "Agents of this store have sent no messages."];
    this.nothing.replaceChildren(element("strong", {}, title), text);
  }

  async #more(from) {
    const { agent } = this.params;
    const source = await (agent ? sources.ofAgent : sources.whole)(this.context.connection, {
      simulation: this.side.simulation,
      agent,
      from,
    });
    this.transcript.append(source.events, source);
  }

  /** While the simulation runs, what is new is shown as it comes. */
  #followNews() {
    const { conversation, agent } = this.params;
    const simulation = conversation ? conversation.slice(0, conversation.lastIndexOf("/")) : this.side.simulation;
    this.isFollowed = this.side.simulations.get(simulation)?.status === "running";
    if (!this.isFollowed || this.transcript.next !== undefined) return;
    this.follow = new Follow(this.context.connection, { simulation, conversation, agent }, () => {
      this.#tell({ isAgain: true }).then(() => this.transcript.hide(without(this.params)), console.warn);
    });
  }

  #leaveOut(left) {
    this.#go({ without: [...left].join(",") });
    this.transcript.hide(left);
  }
}
