// Colours for the query language: the text in pieces, each of one class. Joined, the pieces are the text again.

const KEYWORDS = new Set(
  `agents agent events event goals goal messages message conversations conversation simulations simulation
  explain watch where as of and or not in contains starts ends with exists missing any every no at least most exactly
  did got saw then without within same times turn turns steps caused led directly by to per wall now ago
  select sort limit sample seed match funnel causes effects count sum avg min max median stddev distinct first last
  chat tree timeline table true false null asc desc`.split(/\s+/),
);

const PIECES = [
  ["comment", /#[^\n]*/y],
  ["text", /"(?:[^"\\\n]|\\.)*"?|'(?:[^'\\\n]|\\.)*'?/y],
  ["number", /@[\d:T.+Z-]*[\dZ]/y],
  ["parameter", /\$\w+/y],
  ["path", /\.[\p{L}_]\w*(?:\.[\p{L}_]\w*|\[[^\]\n]*\])*/uy],
  ["number", /\d[\d_]*(?:\.\d+)?(?:e[+-]?\d+)?(?:us|ms|[smhd])?(?:\d+(?:us|ms|[smhd]))*/y],
  ["name", /[\p{L}_][\p{L}\p{N}_]*(?:\.[\p{L}_*][\p{L}\p{N}_*]*)*/uy],
  ["sign", /[|(),=!<>~+*/%-]+/y],
];

/** "agents where x" -> [["keyword", "agents"], ["", " "], …] */
export function pieces(text) {
  const made = [];
  let plain = "";
  for (let at = 0; at < text.length;) {
    const [name, found] = next(text, at);
    if (found === "") {
      plain += text[at];
      at += 1;
      continue;
    }
    if (plain) made.push(["", plain]);
    plain = "";
    made.push([name === "name" ? (KEYWORDS.has(found) ? "keyword" : "name") : name, found]);
    at += found.length;
  }
  if (plain) made.push(["", plain]);
  return made;
}

function next(text, at) {
  for (const [name, pattern] of PIECES) {
    pattern.lastIndex = at;
    const found = pattern.exec(text);
    if (found && found[0] !== "") return [name, found[0]];
  }
  return ["", ""];
}
