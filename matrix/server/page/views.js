// The views, and how each is fetched: its module, and its rules of look, only when it is first wanted.

import { element } from "./dom.js";

/** In the order of the bar: name in the URL, title, the module's class, does it have rules of its own? */
export const VIEWS = {
  query: { title: "Query", file: "query.js", className: "QueryView" },
  timeline: { title: "Time line", file: "timeline.js", className: "TimelineView", look: "timeline.css" },
  conversation: {
    title: "Conversations",
    file: "conversation.js",
    className: "ConversationView",
    look: "conversation.css",
  },
  causes: { title: "Causes", file: "causes.js", className: "CausesView", look: "causes.css" },
  diff: { title: "Compare", file: "diff.js", className: "DiffView", look: "diff.css" },
  live: { title: "Live", file: "live.js", className: "LiveView", look: "live.css" },
};

const looks = new Map();

/** The class of a view. */
export async function load(name) {
  const { file, className, look } = VIEWS[name];
  const [module] = await Promise.all([import(`./${file}`), look && lookOf(look)]);
  return module[className];
}

function lookOf(file) {
  if (!looks.has(file)) {
    const link = element("link", { rel: "stylesheet", href: file });
    looks.set(
      file,
      new Promise((resolve, reject) => {
        link.onload = resolve;
        link.onerror = () => reject(new Error(`${file} does not load`));
      }),
    );
    document.head.append(link);
  }
  return looks.get(file);
}
