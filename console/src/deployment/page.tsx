import { useEffect, useState } from "react";
import { Link } from "wouter";

import failed from "../icons/failed.svg";
import idle from "../icons/idle.svg";
import running from "../icons/running.svg";
import succeeded from "../icons/succeeded.svg";
import { useApi } from "../api/context";
import { Switcher } from "../environment/switcher";
import { Tabs } from "../environment/tabs";
import { LogPage } from "../log/page";
import { say } from "../parts/notice";
import { Failed, Loading } from "../parts/states";
import { Shell } from "../parts/shell";
import { Status, WORDS } from "../parts/status";
import { PlaceProvider } from "../session/rights";
import { CancelButton, RepeatButton } from "./actions";
import { ReviewButtons } from "./review";
import { Took } from "./clock";
import { DEPLOYMENT } from "./documents";
import { Events } from "./events";
import { Stages } from "./stages";
import { fold, type Deployment } from "./state";
import "./page.css";

const ICONS: Record<string, string> = { RUNNING: running, SUCCEEDED: succeeded, FAILED: failed };
const MARKS: Record<string, string> = { QUEUED: "…", RUNNING: "▶", SUCCEEDED: "✓", FAILED: "✗", CANCELLED: "⊘" };
const PARTS = [
  { part: "stages", title: "Stages" },
  { part: "logs", title: "Logs" },
  { part: "events", title: "Events" },
];

/** Follow a deployment to its end; *failure* says why that is refused. */
function useDeployment(id: string): { deployment: Deployment | null; failure: string | null } {
  const api = useApi();
  const [deployment, setDeployment] = useState<Deployment | null>(null);
  const [failure, setFailure] = useState<string | null>(null);
  useEffect(
    () =>
      api.follow(
        DEPLOYMENT,
        { id, after: null },
        {
          next: ({ deploymentChanges: changes }) => setDeployment((known) => fold(known, changes)),
          failed: setFailure,
        },
      ),
    [api, id],
  );
  return { deployment, failure };
}

/** A deployment, live until it ends: its stages, its output or its events. */
export function DeploymentPage({ id, part }: { id: string; part: string }) {
  const { deployment, failure } = useDeployment(id);
  const status = deployment?.status;

  useEffect(() => {
    const icon = document.querySelector<HTMLLinkElement>("link[rel=icon]")!;
    icon.href = ICONS[status ?? ""] ?? idle;
    return () => {
      icon.href = idle;
    };
  }, [status]);

  useEffect(() => {
    if (status) say(`The deployment is ${WORDS[status]}.`);
  }, [status]);

  if (!deployment || failure !== null) {
    return (
      <Shell title="Deployment">
        {failure === null ? <Loading what="the deployment" /> : <Failed message={failure} />}
      </Shell>
    );
  }
  const { environment, number } = deployment;
  const isKnown = PARTS.some((each) => each.part === part);
  return (
    <PlaceProvider project={environment.project.id} environment={environment.id}>
      <Shell
        title={`${MARKS[deployment.status] ?? ""} #${number} · ${environment.name}`}
        place={<Switcher environment={environment} tab="deployments" />}
        tabs={<Tabs environment={environment.id} tab="deployments" isBelow />}
      >
        <div className="deployment">
          <Head deployment={deployment} part={part} />
          {part === "stages" && <Stages deployment={deployment} />}
          {part === "logs" && <LogPage deployment={deployment} />}
          {part === "events" && <Events deployment={id} isOver={deployment.finishedAt !== null} />}
          {!isKnown && <p className="empty">There is no such page.</p>}
        </div>
      </Shell>
    </PlaceProvider>
  );
}

function Head({ deployment, part }: { deployment: Deployment; part: string }) {
  const { id, number, status, startedAt, finishedAt } = deployment;
  return (
    <header>
      <h1>Deployment #{number}</h1>
      <Status status={status} />
      <span>{startedAt ? <Took from={startedAt} to={finishedAt} /> : finishedAt ? "never started" : "waiting for its turn"}</span>
      <nav aria-label="Parts of the deployment">
        {PARTS.map((each) => (
          <Link
            key={each.part}
            href={`/deployments/${id}${each.part === "stages" ? "" : `/${each.part}`}`}
            aria-current={each.part === part ? "page" : undefined}
          >
            {each.title}
          </Link>
        ))}
      </nav>
      <span className="actions">
        {finishedAt === null ? (
          <>
            <ReviewButtons deployment={deployment} />
            <CancelButton deployment={deployment} />
          </>
        ) : (
          <>
            {status !== "SUCCEEDED" && <RepeatButton deployment={deployment} action="retry" label="Retry …" />}
            <RepeatButton deployment={deployment} action="rollback" label="Roll back to this …" />
          </>
        )}
      </span>
    </header>
  );
}
