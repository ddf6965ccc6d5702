import { useState } from "react";

import { message } from "../api/client";
import { useApi, useQuery } from "../api/context";
import { newKey } from "../api/key";
import { useCommands } from "../command/commands";
import { Ago } from "../parts/ago";
import { Menu } from "../parts/menu";
import { show } from "../parts/notice";
import { Failed, Loading } from "../parts/states";
import { Shell } from "../parts/shell";
import { useViewer } from "../session/viewer";
import { SecretDialog } from "../token/dialogs";
import { DeleteDialog, RedeliverDialog, WebhookDialog } from "./dialogs";
import { PARK, RESUME, WEBHOOKS } from "./documents";
import { words, type Webhook } from "./kinds";
import "./page.css";

type Open = { what: "create" } | { what: "edit" | "delete" | "redeliver"; webhook: Webhook };

/** The webhooks: where events go to, and whether they arrive. */
export function WebhookPage() {
  const viewer = useViewer();
  const [loaded, again] = useQuery(WEBHOOKS, {});
  const [dialog, setDialog] = useState<Open | null>(null);
  const [secret, setSecret] = useState<string | null>(null);
  const isAdmin = viewer?.roles.some(({ role }) => role === "ADMIN") ?? false;
  const refusal = viewer && !isAdmin ? "This needs the role admin of a project or an environment, and you have none." : undefined;
  const webhooks = loaded.data?.webhooks?.nodes ?? [];
  const close = () => setDialog(null);
  useCommands(() =>
    isAdmin ? [{ label: "New webhook …", group: "Webhooks", key: "n", run: () => setDialog({ what: "create" }) }] : [],
  );

  function saved(made: string | null) {
    again();
    setSecret(made);
  }

  return (
    <Shell title="Webhooks">
      <div className="list webhooks">
        <header>
          <h1>Webhooks</h1>
          <button onClick={again}>Refresh</button>
          <button className="primary" disabled={!isAdmin} title={refusal} onClick={() => setDialog({ what: "create" })}>
            New webhook
          </button>
        </header>
        {refusal && <p className="empty">{refusal}</p>}
        {!refusal && loaded.state === "loading" && <Loading what="the webhooks" />}
        {!refusal && loaded.state === "failed" && <Failed message={loaded.message} again={again} />}
        <ul aria-label="Webhooks">
          {webhooks.map((webhook) => (
            <Row key={webhook.id} webhook={webhook} again={again} open={(what) => setDialog({ what, webhook })} />
          ))}
        </ul>
        {loaded.state === "loaded" && webhooks.length === 0 && <p className="empty">There are no webhooks yet.</p>}
      </div>
      {dialog?.what === "create" && <WebhookDialog saved={saved} close={close} />}
      {dialog?.what === "edit" && <WebhookDialog webhook={dialog.webhook} saved={saved} close={close} />}
      {dialog?.what === "delete" && <DeleteDialog webhook={dialog.webhook} done={again} close={close} />}
      {dialog?.what === "redeliver" && <RedeliverDialog webhook={dialog.webhook} done={again} close={close} />}
      {secret !== null && (
        <SecretDialog
          title="The secret of the webhook"
          name="secret"
          why="It signs the messages, and the server keeps it sealed"
          secret={secret}
          close={() => setSecret(null)}
        />
      )}
    </Shell>
  );
}

interface RowProps {
  webhook: Webhook;
  again: () => void;
  open: (what: "edit" | "delete" | "redeliver") => void;
}

function Row({ webhook, again, open }: RowProps) {
  const { name, origin, project, environmentId, events, template, isParked, delivery } = webhook;
  const api = useApi();

  async function toggle() {
    const given = { webhook: webhook.id, key: newKey() };
    try {
      const answer = isParked ? (await api.mutate(RESUME, given)).resumeWebhook : (await api.mutate(PARK, given)).parkWebhook;
      if (answer.__typename === "Refusal") show({ text: answer.message, isRefusal: true });
    } catch (fault) {
      show({ text: message(fault), isRefusal: true });
    }
    again();
  }

  return (
    <li>
      <span className="what">
        <strong>
          <bdi>{name}</bdi>
        </strong>
        <small className="soft">
          <bdi>{project.name}</bdi>
          {environmentId !== null && ", one environment"} → <bdi>{origin}</bdi>
          {template === "SLACK" && ", Slack"}
        </small>
        <small className="soft" title={events.map(words).join(", ")}>
          {events.length === 1 ? words(events[0]!) : `${events.length} kinds of events`}
        </small>
      </span>
      <span className="state">
        {isParked ? (
          <strong className="bad">parked: {delivery.problem}</strong>
        ) : delivery.failures > 0 ? (
          <span className="bad">
            failing, {delivery.failures} {delivery.failures === 1 ? "attempt" : "attempts"}: {delivery.problem}
          </span>
        ) : (
          "active"
        )}
        <small className="soft">
          {delivery.delivered} delivered
          {delivery.deliveredAt !== null && (
            <>
              , last <Ago time={delivery.deliveredAt} />
            </>
          )}
        </small>
      </span>
      <button aria-label={`${isParked ? "Resume" : "Pause"} ${name}`} onClick={() => void toggle()}>
        {isParked ? "Resume" : "Pause"}
      </button>
      <Menu
        label={`Actions for ${name}`}
        items={() => [
          { label: "Edit …", action: () => open("edit") },
          { label: "Redeliver …", action: () => open("redeliver") },
          { label: "Delete …", isDangerous: true, action: () => open("delete") },
        ]}
      />
    </li>
  );
}
