import { useRef, useState } from "react";

import { useApi } from "../api/context";
import { newKey } from "../api/key";
import { Dialog, FormDialog } from "../parts/dialog";
import { Choice } from "../parts/fields";
import { listed } from "../parts/format";
import { show } from "../parts/notice";
import { narrowest, PlaceFields, placeOf } from "../place/fields";
import { rightsAnywhere, ROLES, type Role } from "../session/rights";
import type { Viewer } from "../session/viewer";
import { ISSUE, REVOKE } from "./documents";
import type { Token } from "./issued";
import { newToken } from "./secret";

/** Lives of a token, in days; 0 for one that does not expire. */
const LIVES: [days: number, words: string][] = [
  [1, "a day"],
  [30, "30 days"],
  [90, "90 days"],
  [365, "a year"],
  [0, "until it is revoked"],
];

/** The life that is chosen first, in days. */
const USUAL = 90;

/** A day, in milliseconds. */
const DAY = 86_400_000;

/** The value of the life that ends with the viewer's own session or token. */
const OWN = "own";

interface CreateProps {
  viewer: Viewer;
  created: (secret: string) => void;
  close: () => void;
}

export function CreateDialog({ viewer, created, close }: CreateProps) {
  const api = useApi();
  const [actor, setActor] = useState("");
  const [role, setRole] = useState<Role | "">("");
  const end = viewer.identityProvider === null ? (viewer.token?.expiresAt ?? null) : viewer.expiresAt;
  const lives = LIVES.filter(([days]) => end === null || (days > 0 && Date.now() + days * DAY <= Date.parse(end)));
  const usual = lives.some(([days]) => days === USUAL) ? USUAL : OWN;

  async function issue(form: FormData): Promise<string | null> {
    const token = await newToken();
    if (!token) return "A token is made in this browser, which needs https, or a server on this machine.";
    const life = form.get("life");
    const { issueToken } = await api.mutate(ISSUE, {
      name: String(form.get("name")),
      hash: token.hash,
      actor: actor.trim() || null,
      expiresAt: life === OWN ? end : Number(life) ? new Date(Date.now() + Number(life) * DAY).toISOString() : null,
      roles: role === "" ? null : [{ role, ...narrowest(placeOf(form)) }],
      key: newKey(),
    });
    if (issueToken.__typename === "Refusal") return issueToken.message;
    created(token.text);
    return null;
  }

  return (
    <FormDialog title="New token" action="Create" close={close} submit={issue}>
      <label>
        Name
        <input name="name" required autoFocus autoComplete="off" placeholder="ci" />
      </label>
      <label>
        Valid for
        <select name="life" defaultValue={usual}>
          {lives.map(([days, words]) => (
            <option key={days} value={days}>
              {words}
            </option>
          ))}
          {end !== null && <option value={OWN}>as long as your {viewer.token ? "token" : "session"}</option>}
        </select>
      </label>
      {viewer.canIssueTokensForOthers && (
        <label>
          For the actor (optional)
          <input autoComplete="off" placeholder="you" value={actor} onChange={(event) => setActor(event.target.value)} />
        </label>
      )}
      <label>
        Role
        <select value={role} onChange={(event) => setRole(event.target.value as Role | "")}>
          <option value="">{actor.trim() ? "those that the actor holds" : "your own roles"}</option>
          {ROLES.map((each) => {
            const refusal = rightsAnywhere(viewer).refusal(each);
            return (
              <option key={each} value={each} disabled={refusal !== null} title={refusal ?? undefined}>
                {each.toLowerCase()}
              </option>
            );
          })}
        </select>
      </label>
      {role !== "" && <PlaceFields hasEverything needed={role} />}
    </FormDialog>
  );
}

interface SecretProps {
  title?: string;
  /** What it is, as "token". */
  name?: string;
  why?: string;
  secret: string;
  close: () => void;
}

/** A new token or secret, which nobody can show again. */
export function SecretDialog({
  title = "Your new token",
  name = "token",
  why = "The server has only its hash",
  secret,
  close,
}: SecretProps) {
  const field = useRef<HTMLInputElement>(null);

  async function copy() {
    field.current?.select();
    try {
      await navigator.clipboard.writeText(secret);
      show({ text: `The ${name} is copied.` });
    } catch {
      show({ text: `The browser did not copy the ${name}: press Ctrl-C.`, isRefusal: true });
    }
  }

  return (
    <Dialog title={title} close={close}>
      <div className="body">
        <p>Copy it now. {why}, so nobody can show it again.</p>
        <input ref={field} aria-label={name[0]!.toUpperCase() + name.slice(1)} className="secret" readOnly value={secret} onFocus={(event) => event.target.select()} />
        <div className="actions">
          <button onClick={() => void copy()}>Copy</button>
          <button className="primary" onClick={close}>
            Done
          </button>
        </div>
      </div>
    </Dialog>
  );
}

interface RevokeProps {
  token: Token;
  /** The valid tokens that it issued, that these issued, and so on. */
  issued: Token[];
  close: () => void;
}

/** The most names of tokens that the dialog lists. */
const NAMES = 10;

export function RevokeDialog({ token, issued, close }: RevokeProps) {
  const api = useApi();
  const [key] = useState(newKey);
  const isOver = token.revokedAt !== null;

  async function revoke(form: FormData): Promise<string | null> {
    const withIssued = isOver || form.has("issued");
    const { revokeToken } = await api.mutate(REVOKE, { token: token.id, withIssued, key });
    return revokeToken.__typename === "Refusal" ? revokeToken.message : null;
  }

  const title = isOver ? `Revoke the tokens that ${token.name} issued?` : `Revoke ${token.name}?`;
  return (
    <FormDialog title={title} action="Revoke" isDangerous close={close} submit={revoke}>
      <p>
        {isOver
          ? "It is revoked already, and tokens that it issued are valid:"
          : "Its requests are refused from now on, and its sessions and subscriptions end."}
        {!isOver && issued.length > 0 && " The tokens that it issued stay valid:"}{" "}
        {issued.length > 0 && <bdi>{listed(issued.map(({ name }) => name), NAMES)}</bdi>}
      </p>
      {!isOver && issued.length > 0 && <Choice name="issued" label="Revoke them, too, as after a theft" isChosen={false} />}
    </FormDialog>
  );
}
