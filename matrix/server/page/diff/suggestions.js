// Pairs that are worth comparing: a simulation and its forks first, then runs of one program.

const PAIRS = 8;
const GROUPS = 6;

/** [{title, pairs: [[one, other]]}] out of simulations, newest first; those with `chosen` before all others. */
export function suggestions(simulations, chosen) {
  const byId = new Map(simulations.map((one) => [one.id, one]));
  const families = grouped(
    simulations.filter(({ parent }) => parent && byId.has(parent)),
    ({ parent }) => parent,
  );
  const forks = [...families].map(([parent, children]) => ({
    title: `${name(byId.get(parent))} and its ${children.length === 1 ? "fork" : "forks"}`,
    pairs: [
      ...children.map((child) => [byId.get(parent), child]),
      ...children.slice(1).map((child, place) => [children[place], child]),
    ],
  }));
  const runs = [
    ...grouped(
      simulations.filter(({ parent, name: title, id }) => !parent && title && title !== id),
      ({ name: title }) => title,
    ),
  ]
    .filter(([, members]) => members.length > 1)
    .map(([title, members]) => ({
      title: `runs of ${title}`,
      pairs: members.slice(1).map((member, place) => [members[place], member]),
    }));
  return [...forks, ...runs]
    .map(({ title, pairs }) => ({
      title,
      pairs: (chosen ? pairs.filter((pair) => pair.some(({ id }) => id === chosen)) : pairs).slice(0, PAIRS),
    }))
    .filter(({ pairs }) => pairs.length > 0)
    .slice(0, GROUPS);
}

const name = ({ id, name: title }) => (title && title !== id ? `${title} ${id}` : id);

function grouped(items, key) {
  const found = new Map();
  for (const item of [...items].sort((a, b) => a.id.localeCompare(b.id, undefined, { numeric: true }))) {
    if (!found.has(key(item))) found.set(key(item), []);
    found.get(key(item)).push(item);
  }
  return found;
}
