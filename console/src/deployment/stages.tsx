import { memo } from "react";
import { Link } from "wouter";

import { moment } from "../parts/format";
import { Status, WORDS } from "../parts/status";
import { Took, Until } from "./clock";
import type { Deployment, Service, Stage, Step } from "./state";
import { Queue } from "./queue";
import { Timeline } from "./timeline";

const ACTIONS: Record<string, string> = { RETRY: "Retry of", ROLLBACK: "Rollback to" };

/** The stages of a deployment from left to right, and when each of its services was built and deployed. */
export function Stages({ deployment }: { deployment: Deployment }) {
  const { environment, explanation, failure, finishedAt, id, stages, startedAt } = deployment;
  return (
    <div className="stages">
      <Facts deployment={deployment} />
      {finishedAt === null && <Queue environment={environment.id} deployment={id} isQueued={startedAt === null} />}
      {failure && (
        <p className="failure" role="alert">
          {failure.service && failure.phase && (
            <>
              <strong>
                <bdi>{failure.service.name}</bdi> failed to {failure.phase.toLowerCase()}
              </strong>{" "}
              in{" "}
            </>
          )}
          stage <bdi>{failure.stage.name}</bdi>: <bdi>{failure.failureReason}</bdi>{" "}
          {failure.service && (
            <Link href={`/deployments/${id}/logs?service=${failure.service.serviceId}&phase=${failure.phase}`}>See its log</Link>
          )}
        </p>
      )}
      <ol className="flow" aria-label="Stages">
        {stages.map((stage) => (
          <Lane key={stage.id} stage={stage} deployment={id} />
        ))}
      </ol>
      {startedAt && <Timeline stages={stages} path={explanation.criticalPath} startedAt={startedAt} finishedAt={finishedAt} />}
    </div>
  );
}

function Facts({ deployment }: { deployment: Deployment }) {
  const { action, environment, id, sourceNumber, requestedBy, requestedAt, pipelineVersion, reason, isHeld, cancellation, cancelledBy, finishedAt } = deployment;
  return (
    <>
      <p className="soft">
        {sourceNumber !== null && (
          <strong>
            {ACTIONS[action]} #{sourceNumber}.{" "}
          </strong>
        )}
        Requested by <bdi>{requestedBy.name ?? requestedBy.id}</bdi> on {moment(requestedAt)}, with{" "}
        <Link href={`/environments/${environment.id}/history?at=${id}`}>version {pipelineVersion} of the pipeline</Link>
        {reason && (
          <>
            : “<bdi>{reason}</bdi>”
          </>
        )}
      </p>
      {isHeld && finishedAt === null && <p>It is held: running steps are finished, and nothing new starts until it is released.</p>}
      {cancellation && (
        <p className="soft">
          Cancelled by <bdi>{cancelledBy?.name ?? cancelledBy?.id ?? "somebody"}</bdi>:{" "}
          {cancellation === "FORCED" ? "running steps are stopped." : "running steps are finished."}
        </p>
      )}
    </>
  );
}

const Lane = memo(function Lane({ stage, deployment }: { stage: Stage; deployment: string }) {
  return (
    <li className={`lane ${stage.status.toLowerCase()}`} aria-label={`Stage ${stage.position}: ${stage.name}`}>
      <header>
        <span className="position">{stage.position}</span>
        <h2>
          <bdi>{stage.name}</bdi>
        </h2>
        <small>
          <Took from={stage.startedAt} to={stage.finishedAt} />
        </small>
        <Status status={stage.status} isIconOnly />
      </header>
      {stage.gate && (
        <p className="hint">
          <bdi>{stage.gate.message}</bdi>
        </p>
      )}
      <ul>
        {stage.services.map((service) => (
          <ServiceRow key={service.id} service={service} deployment={deployment} />
        ))}
        {stage.services.length === 0 && <li className="soft">No services</li>}
      </ul>
    </li>
  );
});

const ServiceRow = memo(function ServiceRow({ service, deployment }: { service: Service; deployment: string }) {
  const { build, deploy, name, serviceId, status } = service;
  const begun = build.attempts[0]?.startedAt ?? deploy.attempts[0]?.startedAt ?? null;
  const ended = status === "RUNNING" || status === "QUEUED" ? null : (deploy.finishedAt ?? build.finishedAt);
  const retryAt = build.retryAt ?? deploy.retryAt;
  return (
    <li>
      <Status status={status} isIconOnly />
      <span className="name">
        <bdi>{begun ? <Link href={`/deployments/${deployment}/logs?service=${serviceId}`}>{name}</Link> : name}</bdi>
        <small>
          {retryAt ? (
            <>
              attempt {(build.retryAt ? build : deploy).attempt - 1} failed, tries again <Until moment={retryAt} />
            </>
          ) : (
            phase(service)
          )}
        </small>
        <Image service={service} />
      </span>
      <small>
        <Took from={begun} to={ended} />
      </small>
    </li>
  );
});

/** The image that a service runs or has built. */
function Image({ service: { build, deploy } }: { service: Service }) {
  const image = deploy.image ?? build.image;
  if (!image) return null;
  return (
    <small title={image.digest}>
      image {short(image.digest)}
      {build.image?.isReused && ", reused"}
    </small>
  );
}

/** Return the first 12 digits of a digest, without its repository and its algorithm. */
function short(digest: string): string {
  return digest.slice(digest.lastIndexOf(":") + 1).slice(0, 12);
}

/** Return where a service stands, in words. */
function phase({ build, deploy, status, ports }: Service): string {
  const attempt = (step: Step) => (step.attempt > 1 ? `, attempt ${step.attempt}` : "");
  const isStop = deploy.phase === "STOP";
  if (deploy.status === "RUNNING") return `${isStop ? "stopping" : "deploying"}${attempt(deploy)}`;
  if (build.status === "RUNNING") return `building${attempt(build)}`;
  if (build.status === "FAILED") return `build failed${attempt(build)}`;
  if (deploy.status === "FAILED") return `${isStop ? "stop" : "deploy"} failed${attempt(deploy)}`;
  if (status === "RUNNING") return build.status === "QUEUED" ? "waiting to build" : "built, waiting to deploy";
  if (status === "SUCCEEDED" && isStop) return "stopped";
  if (status === "SUCCEEDED" && ports.length > 0) return `port ${ports.join(", ")}`;
  return WORDS[status] ?? "";
}
