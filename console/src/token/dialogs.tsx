import { useRef, useState } from "react";

import { useApi } from "../api/context";
import { newKey } from "../api/key";
import { Dialog, FormDialog } from "../parts/dialog";
import { show } from "../parts/notice";
import { ISSUE, REVOKE } from "./documents";
import { newToken } from "./secret";

/** Lives of a token, in days; 0 for one that does not expire. */
const LIVES: [days: number, words: string][] = [
  [1, "a day"],
  [30, "30 days"],
  [90, "90 days"],
  [365, "a year"],
  [0, "until it is revoked"],
];

/** A day, in milliseconds. */
const DAY = 86_400_000;

interface CreateProps {
  mayNameOthers: boolean;
  created: (secret: string) => void;
  close: () => void;
}

export function CreateDialog({ mayNameOthers, created, close }: CreateProps) {
  const api = useApi();

  async function issue(form: FormData): Promise<string | null> {
    const token = await newToken();
    if (!token) return "A token is made in this browser, which needs https, or a server on this machine.";
    const days = Number(form.get("days"));
    const { issueToken } = await api.mutate(ISSUE, {
      name: String(form.get("name")),
      hash: token.hash,
      actor: String(form.get("actor") ?? "").trim() || null,
      expiresAt: days ? new Date(Date.now() + days * DAY).toISOString() : null,
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
        <select name="days" defaultValue="90">
          {LIVES.map(([days, words]) => (
            <option key={days} value={days}>
              {words}
            </option>
          ))}
        </select>
      </label>
      {mayNameOthers && (
        <label>
          For the actor (optional)
          <input name="actor" autoComplete="off" placeholder="you" />
        </label>
      )}
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

export function RevokeDialog({ token, close }: { token: { id: string; name: string }; close: () => void }) {
  const api = useApi();
  const [key] = useState(newKey);

  async function revoke(): Promise<string | null> {
    const { revokeToken } = await api.mutate(REVOKE, { token: token.id, key });
    return revokeToken.__typename === "Refusal" ? revokeToken.message : null;
  }

  return (
    <FormDialog title={`Revoke ${token.name}?`} action="Revoke" isDangerous close={close} submit={revoke}>
      <p>Its requests are refused from now on, and its sessions and subscriptions end.</p>
    </FormDialog>
  );
}
