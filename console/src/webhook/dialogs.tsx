import { useState } from "react";

import { useApi } from "../api/context";
import { newKey } from "../api/key";
import { FormDialog } from "../parts/dialog";
import { Choice } from "../parts/fields";
import { PlaceFields, placeOf } from "../place/fields";
import { CREATE, DELETE, EDIT, REDELIVER } from "./documents";
import { ALL, USUAL, words, type Kind, type Webhook } from "./kinds";

/** Length of a secret, in bytes. */
const LENGTH = 32;

/** Return a new secret for the signatures of a webhook. */
function newSecret(): string {
  return `whsec_${btoa(String.fromCharCode(...crypto.getRandomValues(new Uint8Array(LENGTH))))}`;
}

interface Props {
  /** The webhook that is changed; none for a new one. */
  webhook?: Webhook;
  /** Called with the new secret, or with null if it stays. */
  saved: (secret: string | null) => void;
  close: () => void;
}

export function WebhookDialog({ webhook, saved, close }: Props) {
  const api = useApi();
  const [key] = useState(newKey);

  async function save(form: FormData): Promise<string | null> {
    const events = ALL.filter((kind) => form.has(kind));
    const template = form.get("template") === "SLACK" ? ("SLACK" as const) : ("JSON" as const);
    const [name, url] = [String(form.get("name")), String(form.get("url"))];
    const secret = webhook && !form.has("renew") ? null : newSecret();
    const answer = webhook
      ? (await api.mutate(EDIT, { webhook: webhook.id, name, url: url || null, secret, events, template, key: newKey() }))
          .editWebhook
      : (await api.mutate(CREATE, { ...created(form), name, url, secret: secret!, events, template, key })).createWebhook;
    if (answer.__typename === "Refusal") return answer.message;
    saved(secret);
    return null;
  }

  return (
    <FormDialog
      title={webhook ? `Edit ${webhook.name}` : "New webhook"}
      className="webhook"
      action={webhook ? "Save" : "Create"}
      close={close}
      submit={save}
    >
      <label>
        Name
        <input name="name" required autoFocus autoComplete="off" defaultValue={webhook?.name} placeholder="chat" />
      </label>
      {!webhook && <PlaceFields />}
      <label>
        {webhook ? `Address (empty: stays at ${webhook.origin})` : "Address"}
        <input name="url" type="url" required={!webhook} autoComplete="off" placeholder="https://ci.example/hook" />
      </label>
      <label>
        Messages
        <select name="template" defaultValue={webhook?.template}>
          <option value="JSON">JSON</option>
          <option value="SLACK">Slack</option>
        </select>
      </label>
      <Kinds chosen={webhook?.events ?? USUAL} />
      {webhook && <Choice name="renew" label="Make a new secret" isChosen={false} />}
    </FormDialog>
  );
}

function created(form: FormData): { project: string; environment: string | null } {
  const { project, environment } = placeOf(form);
  return { project: project ?? "", environment };
}

function Kinds({ chosen }: { chosen: readonly Kind[] }) {
  const more = ALL.filter((kind) => !USUAL.includes(kind));
  return (
    <fieldset>
      <legend>Events</legend>
      {USUAL.map((kind) => (
        <Choice key={kind} name={kind} label={words(kind)} isChosen={chosen.includes(kind)} />
      ))}
      <details open={more.some((kind) => chosen.includes(kind))}>
        <summary>More events</summary>
        {more.map((kind) => (
          <Choice key={kind} name={kind} label={words(kind)} isChosen={chosen.includes(kind)} />
        ))}
      </details>
    </fieldset>
  );
}

interface OneProps {
  webhook: Webhook;
  done: () => void;
  close: () => void;
}

export function DeleteDialog({ webhook, done, close }: OneProps) {
  const api = useApi();
  const [key] = useState(newKey);

  async function remove(): Promise<string | null> {
    const { deleteWebhook } = await api.mutate(DELETE, { webhook: webhook.id, key });
    if (deleteWebhook.__typename === "Refusal") return deleteWebhook.message;
    done();
    return null;
  }

  return (
    <FormDialog title={`Delete ${webhook.name}?`} action="Delete" isDangerous close={close} submit={remove}>
      <p>Nothing is sent any more. Its address and its secret are destroyed.</p>
    </FormDialog>
  );
}

export function RedeliverDialog({ webhook, done, close }: OneProps) {
  const api = useApi();

  async function send(form: FormData): Promise<string | null> {
    const event = String(form.get("event")).trim();
    const { redeliverEvent } = await api.mutate(REDELIVER, { webhook: webhook.id, event, key: newKey() });
    if (redeliverEvent.__typename === "Refusal") return redeliverEvent.message;
    done();
    return null;
  }

  return (
    <FormDialog title={`Send an event to ${webhook.name} again`} action="Send" close={close} submit={send}>
      <label>
        Event
        <input name="event" required autoFocus autoComplete="off" placeholder="event_0193…_1234" />
      </label>
      <p className="soft">Its id, as its message has it. It is tried once, also if the webhook is parked.</p>
    </FormDialog>
  );
}
