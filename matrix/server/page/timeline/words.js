// Things of the time line in words: for the tip at the pointer, and for who cannot see the canvas.

import { durationText } from "../format.js";
import { dataText } from "./panel.js";

/** Lines about what is under the pointer, the first its title: of a goal, a state, or an event. */
export function wordsFor(found, source) {
  if (!found) return null;
  if (found.goal) return goalWords(found.goal);
  if (found.state) return ["State", dataText(found.state.data), `since ${durationText(found.state.time)}`];
  const { event } = found;
  const who = event.agent ?? source.facts.name ?? "simulation";
  return [
    event.kind,
    event.to === null ? who : `${who} → ${event.to}`,
    `${durationText(event.time)} · event ${event.seq}`,
  ];
}

function goalWords({ name, agent, status, reason, start, end }) {
  const time =
    end === null
      ? `since ${durationText(start)}`
      : `${durationText(start)} to ${durationText(end)} (${durationText(end - start)})`;
  return [name, [agent, status, reason].filter(Boolean).join(" · "), time];
}
