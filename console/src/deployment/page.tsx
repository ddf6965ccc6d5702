import { useEffect } from "react";
import { Link } from "wouter";

import failed from "../icons/failed.svg";
import idle from "../icons/idle.svg";
import running from "../icons/running.svg";
import succeeded from "../icons/succeeded.svg";
import { message } from "../api/client";
import { useApi, useNewest } from "../api/context";
import { Switcher } from "../environment/switcher";
import type { ResultOf } from "../graphql";
import { duration, moment } from "../parts/format";
import { Menu } from "../parts/menu";
import { say, show } from "../parts/notice";
import { Failed, Loading } from "../parts/states";
import { Shell } from "../parts/shell";
import { Status, WORDS } from "../parts/status";
import { useNow } from "./clock";
import { CANCEL, DEPLOYMENT } from "./documents";
import "./page.css";

type Deployment = ResultOf<typeof DEPLOYMENT>["deployment"];
type Stage = Deployment["stages"][number];
type Service = Stage["services"][number];
type Step = Service["build"];

const ICONS: Record<string, string> = { RUNNING: running, SUCCEEDED: succeeded, FAILED: failed };
const MARKS: Record<string, string> = { QUEUED: "…", RUNNING: "▶", SUCCEEDED: "✓", FAILED: "✗", CANCELLED: "⊘" };

/** A deployment, live until it ends. */
export function DeploymentPage({ id }: { id: string }) {
  const loaded = useNewest(DEPLOYMENT, { id });
  const deployment = loaded.data?.deployment;
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

  if (!deployment) {
    return (
      <Shell title="Deployment">
        {loaded.state === "failed" ? <Failed message={loaded.message} /> : <Loading what="the deployment" />}
      </Shell>
    );
  }
  const { environment } = deployment;
  return (
    <Shell
      title={`${MARKS[deployment.status] ?? ""} #${deployment.number} · ${environment.name}`}
      place={<Switcher environment={environment} tab="deployments" />}
      tabs={
        <>
          <Link href={`/environments/${environment.id}`}>Board</Link>
          <Link href={`/environments/${environment.id}/deployments`} aria-current="true">
            Deployments
          </Link>
          <Link href={`/environments/${environment.id}/history`}>History</Link>
        </>
      }
    >
      <Live deployment={deployment} />
    </Shell>
  );
}

function Live({ deployment }: { deployment: Deployment }) {
  const isOver = deployment.finishedAt !== null;
  const now = useNow(!isOver);
  const { requestedBy, cancelledBy, failure } = deployment;
  return (
    <div className="deployment">
      <header>
        <h1>Deployment #{deployment.number}</h1>
        <Status status={deployment.status} />
        <span>{took(deployment.startedAt, deployment.finishedAt, now) ?? "waiting for its turn"}</span>
        {!isOver && <Cancel deployment={deployment} />}
      </header>
      <p className="soft">
        Requested by <bdi>{requestedBy.name ?? requestedBy.id}</bdi> on {moment(deployment.requestedAt)}, with version{" "}
        {deployment.pipelineVersion} of the pipeline
        {deployment.reason && (
          <>
            : “<bdi>{deployment.reason}</bdi>”
          </>
        )}
      </p>
      {deployment.cancellation && (
        <p className="soft">
          Cancelled by <bdi>{cancelledBy?.name ?? cancelledBy?.id ?? "somebody"}</bdi>:{" "}
          {deployment.cancellation === "FORCED" ? "running steps are stopped." : "running steps are finished."}
        </p>
      )}
      {failure && (
        <p className="failure" role="alert">
          <strong>
            <bdi>{failure.service.name}</bdi> failed to {failure.phase.toLowerCase()}
          </strong>{" "}
          in stage <bdi>{failure.stage.name}</bdi>: <bdi>{failure.failureReason}</bdi>
        </p>
      )}
      <ol className="flow" aria-label="Stages">
        {deployment.stages.map((stage) => (
          <Lane key={stage.id} stage={stage} now={now} />
        ))}
      </ol>
      {deployment.startedAt && <Timeline deployment={deployment} begin={Date.parse(deployment.startedAt)} now={now} />}
    </div>
  );
}

function Cancel({ deployment }: { deployment: Deployment }) {
  const api = useApi();
  async function cancel(force: boolean) {
    try {
      const variables = { deployment: deployment.id, force, key: crypto.randomUUID() };
      const { cancelDeployment: answer } = await api.mutate(CANCEL, variables);
      if (answer.__typename === "Refusal") show({ text: `Not cancelled: ${answer.message}`, isRefusal: true });
      else say(force ? "Running steps are stopped." : "No step starts any more.");
    } catch (fault) {
      show({ text: `Not cancelled: ${message(fault)}`, isRefusal: true });
    }
  }
  return (
    <Menu
      label="Cancel the deployment"
      text="Cancel …"
      items={() => [
        {
          label: "Finish running steps, start no more",
          isDisabled: deployment.cancellation !== null,
          action: () => void cancel(false),
        },
        {
          label: "Stop running steps now",
          isDangerous: true,
          isDisabled: deployment.cancellation === "FORCED",
          action: () => void cancel(true),
        },
      ]}
    />
  );
}

function Lane({ stage, now }: { stage: Stage; now: number }) {
  return (
    <li className={`lane ${stage.status.toLowerCase()}`} aria-label={`Stage ${stage.position}: ${stage.name}`}>
      <header>
        <span className="position">{stage.position}</span>
        <h2>
          <bdi>{stage.name}</bdi>
        </h2>
        <small>{took(stage.startedAt, stage.finishedAt, now)}</small>
        <Status status={stage.status} isIconOnly />
      </header>
      <ul>
        {stage.services.map((service) => (
          <li key={service.id}>
            <Status status={service.status} isIconOnly />
            <span className="name">
              <bdi>{service.name}</bdi>
              <small>{phase(service)}</small>
            </span>
            <small>{took(begun(service), ended(service), now)}</small>
          </li>
        ))}
        {stage.services.length === 0 && <li className="soft">No services</li>}
      </ul>
    </li>
  );
}

/** Return where a service stands, in words. */
function phase({ build, deploy, status, ports }: Service): string {
  const attempt = (step: Step) => (step.attempt > 1 ? `, attempt ${step.attempt}` : "");
  if (deploy.status === "RUNNING") return `deploying${attempt(deploy)}`;
  if (build.status === "RUNNING") return `building${attempt(build)}`;
  if (build.status === "FAILED") return `build failed${attempt(build)}`;
  if (deploy.status === "FAILED") return `deploy failed${attempt(deploy)}`;
  if (status === "RUNNING") return build.status === "QUEUED" ? "waiting to build" : "built, waiting to deploy";
  if (status === "SUCCEEDED" && ports.length > 0) return `port ${ports.join(", ")}`;
  return WORDS[status] ?? "";
}

function begun({ build, deploy }: Service): string | null {
  return build.startedAt ?? deploy.startedAt;
}

function ended({ build, deploy, status }: Service): string | null {
  return status === "RUNNING" ? null : (deploy.finishedAt ?? build.finishedAt);
}

function took(startedAt: string | null, finishedAt: string | null, now: number): string | null {
  if (startedAt === null) return null;
  return duration((finishedAt === null ? now : Date.parse(finishedAt)) - Date.parse(startedAt));
}

function Timeline({ deployment, begin, now }: { deployment: Deployment; begin: number; now: number }) {
  const end = deployment.finishedAt ? Date.parse(deployment.finishedAt) : now;
  const span = Math.max(1, end - begin);
  const rows = deployment.stages.flatMap(({ services }) => services).filter((service) => begun(service) !== null);

  function bar(step: Step, kind: string) {
    if (step.startedAt === null || step.status === "SKIPPED") return null;
    const from = Date.parse(step.startedAt);
    const to = step.finishedAt ? Date.parse(step.finishedAt) : end;
    const style = { left: `${(100 * (from - begin)) / span}%`, width: `${Math.max(0, (100 * (to - from)) / span)}%` };
    return <i className={`${kind} ${step.status.toLowerCase()}`} style={style} title={`${kind} ${duration(to - from)}`} />;
  }

  function words({ build, deploy }: Service): string {
    const parts = [
      ["build", build],
      ["deploy", deploy],
    ] as const;
    return parts
      .filter(([, step]) => step.startedAt !== null && step.status !== "SKIPPED")
      .map(([kind, step]) => `${kind} ${took(step.startedAt, step.finishedAt, now)}`)
      .join(", ");
  }

  if (rows.length === 0) return null;
  return (
    <section className="timeline">
      <h2>Timeline</h2>
      <p className="legend">
        <i className="build" /> build <i className="deploy" /> deploy <i className="failed" /> failed
        <span>{duration(span)}</span>
      </p>
      <ul>
        {rows.map((service) => (
          <li key={service.id}>
            <bdi title={service.name}>{service.name}</bdi>
            <span className="track" aria-hidden="true">
              {bar(service.build, "build")}
              {bar(service.deploy, "deploy")}
            </span>
            <span className="said">{words(service)}</span>
          </li>
        ))}
      </ul>
    </section>
  );
}
