/**
 * The browser's session: the cookie is HttpOnly, and its secret is in sessionStorage, which is separate for each port.
 *
 * All tabs share the cookie, so they must share the secret, too. A new tab asks the others for it, over a channel that
 * only pages of this origin, with this port, can read.
 */
import { BASE } from "../base";
import { show } from "../parts/notice";
import { comeBack } from "./provider";

interface Opened {
  secret: string;
  expiresAt: string;
}

export interface Actor {
  id: string;
  name: string | null;
}

/** A session that a link offers; *present* is the person who is signed in. */
export interface Offer {
  actor: Actor;
  present: Actor | null;
  accept: () => Promise<void>;
  decline: () => void;
}

export type Session =
  | { state: "asking" }
  | { state: "out"; why: string }
  | ({ state: "offered" } & Offer)
  | ({ state: "in" } & Opened);

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
  if (data.type === "in") {
    if (data.opened.secret !== lost) (answered ?? enter)(data.opened);
  } else if (data.type === "out") leave(data.why);
  else if (session.state === "in") {
    const { secret, expiresAt } = session;
    channel.postMessage({ type: "in", opened: { secret, expiresAt } } satisfies Message);
  }
});

/** Open a session with *token*; return why it was refused, or null. */
export function signIn(token: string): Promise<string | null> {
  return open({ authorization: `Bearer ${token.trim()}` }, UNKNOWN);
}

type Headers = Record<string, string>;

async function open(headers: Headers, refused: string): Promise<string | null> {
  const answer = await send("POST", headers, refused);
  if (typeof answer === "string") return answer;
  admit((await answer.json()) as Opened);
  return null;
}

/** Enter a new session with all tabs. */
function admit({ secret, expiresAt }: Opened): void {
  const opened = { secret, expiresAt };
  enter(opened);
  channel.postMessage({ type: "in", opened } satisfies Message);
}

/** Return whose session *headers* open, or have; a text says why that is refused. */
async function holderOf(headers: Headers, refused: string): Promise<Actor | string> {
  const answer = await send("GET", headers, refused);
  return typeof answer === "string" ? answer : ((await answer.json()) as { actor: Actor }).actor;
}

async function send(method: string, headers: Headers, refused: string): Promise<Response | string> {
  let answer: Response;
  try {
    answer = await fetch(URL_, { method, headers });
  } catch (fault) {
    const isInvalid = fault instanceof TypeError && /header|ByteString|ISO-8859-1/i.test(fault.message);
    return isInvalid ? refused : "The server can’t be reached. Try again.";
  }
  if (answer.status === 401) return refused;
  if (answer.status === 429) return "Too many attempts. Wait a minute, and try again.";
  return answer.ok ? answer : `The server answered ${answer.status}. Try again later.`;
}

/** End the session on all nodes and in all tabs; return why that failed, or null. */
export async function signOut(): Promise<string | null> {
  const answer = await fetch(URL_, { method: "DELETE" }).catch(() => null);
  if (!answer?.ok) return "The server can’t be reached, so the session is still open. Try again.";
  leave("");
  channel.postMessage({ type: "out", why: "" } satisfies Message);
  if (answer.status === 200) location.assign(((await answer.json()) as { address: string }).address); // of the provider
  return null;
}

let lost: string | null = null;

/**
 * Take the tab out of a session that the server does not accept any more, unless another tab has a newer one.
 *
 * A new session's cookie replaces the old one's a moment before the tabs hear of its secret.
 */
export function lose(secret: string): void {
  if (session.state !== "in" || session.secret !== secret) return;
  lost = secret;
  leave(ENDED);
  channel.postMessage({ type: "ask" } satisfies Message);
}

const USED = "This link was used before, or has expired. Ask for another, or sign in with a token.";
const UNKNOWN = "The server does not accept this token.";

/**
 * Find the tab's session: its own, or another tab's. An identity provider's answer opens a new one, and a link with a
 * token or a code offers one.
 */
export async function begin(): Promise<void> {
  const given = new URLSearchParams(location.hash.slice(1));
  const [token, code] = [given.get("token"), given.get("link")];
  if (token || code) history.replaceState(null, "", location.pathname + location.search); // before anything can read the address
  const back = await comeBack<Opened>();
  if (back !== null && typeof back !== "string") return admit(back);
  const own = session.state === "in" ? session : (stored() ?? (await ofOtherTab()));
  if (token) await offer({ authorization: `Bearer ${token.trim()}` }, UNKNOWN, own);
  else if (code) await offer({ "stageline-link": code }, USED, own);
  else stay(own, back ?? "");
}

/**
 * Open the session of a link at once if it is of the same person, and else ask.
 *
 * Anybody can make a link that signs in as themselves. A person who follows it unaware would work in their name.
 */
async function offer(headers: Headers, refused: string, own: Opened | null): Promise<void> {
  const actor = await holderOf(headers, refused);
  const present = own && (await holderOf({ "stageline-session": own.secret }, ENDED));
  const before = own && present && typeof present !== "string" ? { ...own, actor: present } : null;
  if (typeof actor === "string") return stay(before, actor);
  const accept = async () => {
    const why = await open(headers, refused);
    if (why) stay(before, why);
  };
  if (before?.actor.id === actor.id) return accept();
  become({ state: "offered", actor, present: before?.actor ?? null, accept, decline: () => stay(before) });
}

/** Go on with a session, or without; *why* says what was refused. */
function stay(own: Opened | null, why = ""): void {
  if (!own) return leave(why);
  enter({ secret: own.secret, expiresAt: own.expiresAt });
  if (why) show({ text: why, isRefusal: true });
}

let answered: ((opened: Opened) => void) | null = null;

/** Ask the other tabs for their session. */
async function ofOtherTab(): Promise<Opened | null> {
  const opened = await new Promise<Opened | null>((resolve) => {
    answered = resolve;
    channel.postMessage({ type: "ask" } satisfies Message);
    setTimeout(() => resolve(null), ANSWER);
  });
  answered = null;
  return opened;
}

addEventListener("hashchange", () => {
  if (/^#(token|link)=/.test(location.hash)) void begin();
});
