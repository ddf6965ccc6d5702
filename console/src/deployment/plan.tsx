import { useEffect, useState } from "react";
import { useLocation } from "wouter";

import { message } from "../api/client";
import { useApi, useQuery } from "../api/context";
import { newKey } from "../api/key";
import { useCommands } from "../command/commands";
import type { ResultOf } from "../graphql";
import { RoleButton } from "../parts/button";
import { FormDialog } from "../parts/dialog";
import { Reason, reasonOf } from "../parts/fields";
import { ago, duration } from "../parts/format";
import { show } from "../parts/notice";
import { Status } from "../parts/status";
import {
  DEPLOY,
  LAST,
  PLAN,
  PLAN_RESTART,
  PLAN_RETRY,
  PLAN_ROLLBACK,
  PLAN_START,
  PLAN_STOP,
  RESTART,
  RETRY,
  ROLL_BACK,
  START,
  STOP,
} from "./documents";
import "./plan.css";

type Planned = Extract<ResultOf<typeof PLAN>["answer"], { __typename: "DeploymentPayload" }>;
type Last = NonNullable<NonNullable<ResultOf<typeof LAST>["environment"]>["latestDeployment"]>;

interface Subject {
  /** The number of the deployment that is done again. */
  number?: number;
  /** The service that is acted on; without one it is the environment. */
  service?: { id: string; name: string };
}

const the = (service?: { name: string }) => service?.name ?? "the environment";

export const ACTIONS = {
  deploy: { title: (_: Subject) => "Deploy", button: "Deploy", plan: PLAN, request: DEPLOY },
  retry: { title: ({ number }: Subject) => `Retry deployment #${number}`, button: "Retry", plan: PLAN_RETRY, request: RETRY },
  rollback: {
    title: ({ number }: Subject) => `Roll back to deployment #${number}`,
    button: "Roll back",
    plan: PLAN_ROLLBACK,
    request: ROLL_BACK,
  },
  restart: {
    title: ({ service }: Subject) => `Restart ${the(service)}`,
    button: "Restart",
    plan: PLAN_RESTART,
    request: RESTART,
  },
  stop: { title: ({ service }: Subject) => `Stop ${the(service)}`, button: "Stop", plan: PLAN_STOP, request: STOP },
  start: { title: ({ service }: Subject) => `Start ${the(service)}`, button: "Start", plan: PLAN_START, request: START },
} as const;

/** A button that shows the plan, and deploys it. */
export function DeployButton({ environment, isEmpty }: { environment: string; isEmpty: boolean }) {
  const [isOpen, setOpen] = useState(false);
  useCommands(() =>
    isEmpty ? [] : [{ label: "Deploy …", group: "Environment", key: "d", needs: "DEPLOYER", run: () => setOpen(true) }],
  );
  return (
    <>
      <RoleButton needs="DEPLOYER" className="primary" disabled={isEmpty} onClick={() => setOpen(true)}>
        Deploy …
      </RoleButton>
      {isOpen && <PlanDialog action="deploy" of={environment} environment={environment} close={() => setOpen(false)} />}
    </>
  );
}

const NOTES: Partial<Record<keyof typeof ACTIONS, string>> = {
  restart: "With the specifications of the last run, and without a build.",
  stop: "From the last stage on. What is stopped stays so until it is started or deployed.",
  start: "As it ran last, and without a build.",
};

interface Props extends Subject {
  action: keyof typeof ACTIONS;
  /** Id of the environment that is deployed, or of the deployment that is done again. */
  of: string;
  environment: string;
  close: () => void;
}

/** The plan of a deployment: it is looked at first, and requested then. */
export function PlanDialog({ action, of, number, service, environment, close }: Props) {
  const api = useApi();
  const [, navigate] = useLocation();
  const [last] = useQuery(LAST, { environment });
  const [plan, setPlan] = useState<Planned | null>(null);
  const [refusal, setRefusal] = useState("");
  const [key] = useState(newKey);
  const { title, button, plan: planned, request } = ACTIONS[action];
  const id = service?.id;

  useEffect(() => {
    let isOver = false;
    api.mutate(planned, { of, services: id ? [id] : null }).then(
      ({ answer }) => {
        if (isOver) return;
        if (answer.__typename === "Refusal") setRefusal(answer.message);
        else setPlan(answer);
      },
      (fault: unknown) => isOver || setRefusal(message(fault)),
    );
    return () => {
      isOver = true;
    };
  }, [api, planned, of, id]);

  async function start(form: FormData): Promise<string | null> {
    const { answer } = await api.mutate(request, { of, services: id ? [id] : null, reason: reasonOf(form), key });
    if (answer.__typename === "Refusal") return answer.message;
    if (answer.merged) show({ text: "A waiting deployment does the same, so yours was merged into it." });
    navigate(`/deployments/${answer.deployment?.id ?? answer.snapshot!.deploymentId}`);
    return null;
  }

  const latest = last.data?.environment?.latestDeployment ?? null;
  return (
    <FormDialog title={title({ number, service })} action={button} isDisabled={plan === null} close={close} submit={start}>
      {refusal && (
        <p role="alert" className="refusal">
          {refusal}
        </p>
      )}
      {!plan && !refusal && <p className="soft">Planning …</p>}
      {plan?.merged && <p className="soft">A waiting deployment does the same. Yours will be merged into it.</p>}
      {action === "rollback" && <p className="soft">The specifications are those of #{number}. The pipeline stays as it is.</p>}
      {NOTES[action] && <p className="soft">{NOTES[action]}</p>}
      {plan?.snapshot && <Order plan={plan.snapshot} last={action === "deploy" ? latest : null} />}
      {plan && latest && action === "deploy" && <LastFacts last={latest} />}
      <Reason />
    </FormDialog>
  );
}

/** The services in the order of their deployment; each is compared with the last deployment. */
function Order({ plan, last }: { plan: NonNullable<Planned["snapshot"]>; last: Last | null }) {
  const before = new Map(last?.stages.flatMap(({ services }) => services).map((each) => [each.serviceId, each.status]));
  const changed = new Set(last?.changedSince?.differences.map(({ change }) => change.service?.serviceId));
  const comparison = (id: string) => {
    if (last === null) return null;
    if (!before.has(id)) return "new";
    if (changed.has(id)) return "changed";
    const status = before.get(id);
    return status === "SUCCEEDED" ? "unchanged" : `unchanged, ${status!.toLowerCase()} last time`;
  };
  return (
    <ol className="plan" aria-label="Order">
      {plan.stages.map((stage) => (
        <li key={stage.stageId} value={stage.position}>
          <bdi>{stage.name}</bdi>
          <ul>
            {stage.services.map(({ serviceId, name, status, plan }) => (
              <li key={serviceId} className={status === "SKIPPED" || plan?.reason ? "soft" : undefined}>
                <bdi>{name}</bdi>
                {plan?.reason ? ` (left out: ${plan.reason})` : status === "SKIPPED" ? " (skipped)" : comparison(serviceId) && <small> {comparison(serviceId)}</small>}
              </li>
            ))}
            {stage.services.length === 0 && <li className="soft">nothing to deploy</li>}
          </ul>
        </li>
      ))}
    </ol>
  );
}

function LastFacts({ last }: { last: Last }) {
  const { number, status, requestedAt, requestedBy, durationSeconds, pipelineVersion, changedSince } = last;
  const differences = changedSince?.differences ?? [];
  return (
    <section className="last" aria-label="Last deployment">
      <p>
        Last: #{number} <Status status={status} /> {ago(requestedAt)} by <bdi>{requestedBy.name ?? requestedBy.id}</bdi>
        {durationSeconds !== null && `, ${duration(durationSeconds * 1_000)}`}, with version {pipelineVersion} of the pipeline.
      </p>
      {differences.length === 0 ? (
        <p className="soft">The pipeline is the same.</p>
      ) : (
        <details>
          <summary>
            {differences.length === 1 ? "One difference" : `${differences.length} differences`} since then
          </summary>
          <ul>
            {differences.map(({ change }, at) => (
              <li key={at}>
                <bdi>{change.message}</bdi>
              </li>
            ))}
          </ul>
        </details>
      )}
    </section>
  );
}
