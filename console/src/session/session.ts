/**
 * The browser's session: the cookie is HttpOnly, and its secret is in sessionStorage, which is separate for each port.
 *
 * All tabs share the cookie, so they must share the secret, too. A new tab asks the others for it, over a channel that
 * only pages of this origin, with this port, can read.
 */
import { BASE } from "../base";

interface Opened {
  secret: string;
  expiresAt: string;
}

export type Session = { state: "asking" } | { state: "out"; why: string } | ({ state: "in" } & Opened);

type Message = { type: "ask" } | { type: "in"; opened: Opened } | { type: "out"; why: string };

const KEY = "stageline-session";
const URL_ = `${BASE}/graphql/session`;
const ENDED = "Your session has ended. Sign in again.";

/** Time that other tabs have to answer, in milliseconds. */
const ANSWER = 250;

const channel = new BroadcastChannel(`${KEY}${BASE}`);
const listeners = new Set<() => void>();
let session: Session = { state: "asking" };

export function current(): Session {
  return session;
}

export function subscribe(listener: () => void): () => void {
  listeners.add(listener);
  return () => void listeners.delete(listener);
}

function become(next: Session): void {
  session = next;
  listeners.forEach((listener) => listener());
}

function enter(opened: Opened): void {
  sessionStorage.setItem(KEY, JSON.stringify(opened));
  become({ state: "in", ...opened });
}

function leave(why: string): void {
  sessionStorage.removeItem(KEY);
  become({ state: "out", why });
}

function stored(): Opened | null {
  const { secret, expiresAt } = JSON.parse(sessionStorage.getItem(KEY) ?? "{}") as Partial<Opened>;
  return secret && expiresAt && Date.parse(expiresAt) > Date.now() ? { secret, expiresAt } : null;
}

channel.addEventListener("message", ({ data }: MessageEvent<Message>) => {
  if (data.type === "in") enter(data.opened);
  else if (data.type === "out") leave(data.why);
  else if (session.state === "in") {
    const { secret, expiresAt } = session;
    channel.postMessage({ type: "in", opened: { secret, expiresAt } } satisfies Message);
  }
});

/** Open a session with *token*; return why it was refused, or null. */
export function signIn(token: string): Promise<string | null> {
  return open({ authorization: `Bearer ${token.trim()}` }, "The server does not accept this token.");
}

async function open(headers: Record<string, string>, refused: string): Promise<string | null> {
  let answer: Response;
  try {
    answer = await fetch(URL_, { method: "POST", headers });
  } catch (fault) {
    const isInvalid = fault instanceof TypeError && /header|ByteString|ISO-8859-1/i.test(fault.message);
    return isInvalid ? refused : "The server can’t be reached. Try again.";
  }
  if (answer.status === 401) return refused;
  if (answer.status === 429) return "Too many attempts. Wait a minute, and try again.";
  if (!answer.ok) return `The server answered ${answer.status}. Try again later.`;
  const opened = (await answer.json()) as Opened;
  enter(opened);
  channel.postMessage({ type: "in", opened } satisfies Message);
  return null;
}

/** End the session on all nodes and in all tabs; return why that failed, or null. */
export async function signOut(): Promise<string | null> {
  const answer = await fetch(URL_, { method: "DELETE" }).catch(() => null);
  if (!answer?.ok) return "The server can’t be reached, so the session is still open. Try again.";
  leave("");
  channel.postMessage({ type: "out", why: "" } satisfies Message);
  return null;
}

/** Take the tab out of a session that the server does not accept any more. */
export function lose(secret: string): void {
  if (session.state === "in" && session.secret === secret) leave(ENDED);
}

const USED = "This link was used before, or has expired. Ask for another, or sign in with a token.";

/** Find the tab's session: that of a link with a token or a code, its own, or another tab's. */
export async function begin(): Promise<void> {
  const given = new URLSearchParams(location.hash.slice(1));
  const [token, code] = [given.get("token"), given.get("link")];
  if (token || code) {
    history.replaceState(null, "", location.pathname + location.search); // before anything can read the address
    const refused = token ? await signIn(token) : await open({ "stageline-link": code! }, USED);
    if (refused) leave(refused);
    return;
  }
  const own = stored();
  if (own) return enter(own);
  channel.postMessage({ type: "ask" } satisfies Message);
  setTimeout(() => session.state === "asking" && leave(""), ANSWER);
}

addEventListener("hashchange", () => {
  if (/^#(token|link)=/.test(location.hash)) void begin();
});
