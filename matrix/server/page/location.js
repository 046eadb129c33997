// The URL's fragment holds all that matters of what is seen: #view=query&q=agents&theme=dark. A link brings it back.

const KEY = "matrix.token";
const OTHER_TABS_MS = 150;

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
  if (token === undefined) return sessionStorage.getItem(KEY) ?? "";
  keepToken(token);
  write(others, { replace: true });
  return token;
}

/** Keep the token for this tab, through reloads. */
export const keepToken = (token) => sessionStorage.setItem(KEY, token);

const tabs = new BroadcastChannel("matrix");
tabs.onmessage = ({ data }) => {
  const token = sessionStorage.getItem(KEY);
  if (data === "token?" && token) tabs.postMessage({ token });
};

/** The token of another tab of this very server, for a link that was opened in a new one; "" when none answers. */
export function tokenOfOtherTab() {
  return new Promise((resolve) => {
    const asking = new BroadcastChannel("matrix");
    const end = (token) => {
      asking.close();
      resolve(token);
    };
    asking.onmessage = ({ data }) => data?.token && end(data.token);
    asking.postMessage("token?");
    setTimeout(end, OTHER_TABS_MS, "");
  });
}
