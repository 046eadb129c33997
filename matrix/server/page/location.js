// The URL's fragment holds all that matters of what is seen: #view=query&q=agents&theme=dark. A link brings it back.

/** The parameters of the fragment, as an object of texts. */
export function read() {
  return Object.fromEntries(new URLSearchParams(window.location.hash.slice(1)));
}

/** A fragment of these parameters; empty and missing ones are left out. */
export function fragment(params) {
  const entries = Object.entries(params).filter(([, value]) => value !== undefined && value !== null && value !== "");
  return `#${new URLSearchParams(entries.map(([name, value]) => [name, String(value)]))}`;
}

/** Write the fragment, as a new entry of the history or in place of this one. No event comes of it. */
export function write(params, { replace = false } = {}) {
  const url = fragment(params);
  if (url === window.location.hash) return;
  if (replace) history.replaceState(null, "", url);
  else history.pushState(null, "", url);
}

/** The token that the printed link brought, taken out of the visible URL; else the one of this tab. */
export function takeToken() {
  const { token, ...others } = read();
  if (token === undefined) return sessionStorage.getItem("matrix.token") ?? "";
  sessionStorage.setItem("matrix.token", token);
  write(others, { replace: true });
  return token;
}
