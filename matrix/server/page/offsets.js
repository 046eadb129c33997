// Offsets into a text: the protocol counts Unicode code points, JavaScript counts UTF-16 units.

/** UTF-16 offset -> code points. */
export function toCodePoints(text, units) {
  let points = 0;
  for (let at = 0; at < units && at < text.length; points += 1) at += text.codePointAt(at) > 0xffff ? 2 : 1;
  return points;
}

/** Code points -> UTF-16 offset. */
export function toUnits(text, points) {
  let at = 0;
  for (let seen = 0; seen < points && at < text.length; seen += 1) at += text.codePointAt(at) > 0xffff ? 2 : 1;
  return at;
}
