/**
 * Signing in with an identity provider.
 *
 * The page goes to the provider, which sends the browser back to /sign-in. A callback counts only in the tab that began:
 * its state is in sessionStorage, which is separate for each port, and the server checks its own cookie.
 */
import { BASE } from "../base";

export interface Provider {
  issuer: string;
  name: string;
}

/** A sign-in that this tab began, and the address to return to. */
interface Flow {
  state: string;
  name: string;
  back: string;
}

const KEY = "stageline-sign-in";
const PATH = `${BASE}/sign-in`;
const URL_ = `${BASE}/graphql/session/oidc`;
const NOT_HERE = "This sign-in was not begun in this tab, or is over. Sign in again.";

/** Maximum time that the sign-in page waits for the list of providers, in milliseconds. */
const PATIENCE = 2_000;

/** Return the providers that the server knows; none if it does not answer. */
export async function providers(): Promise<Provider[]> {
  const answer = await fetch(URL_, { signal: AbortSignal.timeout(PATIENCE) }).catch(() => null);
  const found = answer?.ok ? ((await answer.json().catch(() => null)) as { providers: Provider[] } | null) : null;
  return found?.providers ?? [];
}

/** Leave for the provider; return why that is not possible, or null. */
export async function goTo({ issuer, name }: Provider): Promise<string | null> {
  const begun = await post<{ address: string; state: string }>(URL_, { issuer });
  if (typeof begun === "string") return begun;
  sessionStorage.setItem(KEY, JSON.stringify({ state: begun.state, name, back: location.href } satisfies Flow));
  location.assign(begun.address);
  return null;
}

/** Return the session that a provider's answer in the address opens, why it opens none, or null without an answer. */
export async function comeBack<Opened extends object>(): Promise<Opened | string | null> {
  if (location.pathname !== PATH) return null;
  const given = new URLSearchParams(location.search);
  const { state, name, back } = JSON.parse(sessionStorage.getItem(KEY) ?? "{}") as Partial<Flow>;
  sessionStorage.removeItem(KEY);
  const isOwn = state !== undefined && given.get("state") === state;
  history.replaceState(null, "", isOwn && back ? back : `${BASE}/`); // before anything can read the address
  if (!given.has("state")) return null;
  if (!isOwn) return NOT_HERE;
  const [error, code] = [given.get("error"), given.get("code")];
  if (error !== null || code === null) return refusalOf(error ?? "", name ?? "The identity provider");
  return post<Opened>(`${URL_}/callback`, { code, state, iss: given.get("iss") });
}

/** Return a provider's error in words. Its description is not shown, since it is text of somebody else. */
function refusalOf(error: string, name: string): string {
  if (error === "access_denied") return `${name} did not let you in, or you cancelled there.`;
  const code = /^[a-z_]{1,60}$/.test(error) ? ` (${error})` : "";
  return `${name} did not sign you in${code}. Try again.`;
}

/** Return the answer to a request, or why there is none. */
async function post<Data extends object>(url: string, body: object): Promise<Data | string> {
  const init = { method: "POST", headers: { "content-type": "application/json" }, body: JSON.stringify(body) };
  const answer = await fetch(url, init).catch(() => null);
  if (!answer) return "The server can’t be reached. Try again.";
  const said = (await answer.json().catch(() => null)) as (Data & { errors?: { message: string }[] }) | null;
  if (answer.ok && said) return said;
  return said?.errors?.[0]?.message ?? `The server answered ${answer.status}. Try again later.`;
}
