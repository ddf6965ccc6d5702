import { useEffect, useState } from "react";
import { useLocation } from "wouter";

import { message } from "../api/client";
import { useApi, useQuery } from "../api/context";
import { newKey } from "../api/key";
import { useCommands } from "../command/commands";
import type { ResultOf } from "../graphql";
import { FormDialog } from "../parts/dialog";
import { Reason, reasonOf } from "../parts/fields";
import { ago, duration } from "../parts/format";
import { show } from "../parts/notice";
import { Status } from "../parts/status";
import { DEPLOY, LAST, PLAN, PLAN_RETRY, PLAN_ROLLBACK, RETRY, ROLL_BACK } from "./documents";
import "./plan.css";

type Planned = Extract<ResultOf<typeof PLAN>["answer"], { __typename: "DeploymentPayload" }>;
type Last = NonNullable<NonNullable<ResultOf<typeof LAST>["environment"]>["latestDeployment"]>;

const ACTIONS = {
  deploy: { title: () => "Deploy", button: "Deploy", plan: PLAN, request: DEPLOY },
  retry: { title: (number?: number) => `Retry deployment #${number}`, button: "Retry", plan: PLAN_RETRY, request: RETRY },
  rollback: {
    title: (number?: number) => `Roll back to deployment #${number}`,
    button: "Roll back",
    plan: PLAN_ROLLBACK,
    request: ROLL_BACK,
  },
} as const;

/** A button that shows the plan, and deploys it. */
export function DeployButton({ environment, isEmpty }: { environment: string; isEmpty: boolean }) {
  const [isOpen, setOpen] = useState(false);
  useCommands(() =>
    isEmpty ? [] : [{ label: "Deploy …", group: "Environment", key: "d", run: () => setOpen(true) }],
  );
  return (
    <>
      <button className="primary" disabled={isEmpty} onClick={() => setOpen(true)}>
        Deploy …
      </button>
      {isOpen && <PlanDialog action="deploy" of={environment} environment={environment} close={() => setOpen(false)} />}
    </>
  );
}

interface Props {
  action: keyof typeof ACTIONS;
  /** Id of the environment that is deployed, or of the deployment that is done again. */
  of: string;
  /** Number of that deployment. */
  number?: number;
  environment: string;
  close: () => void;
}

/** The plan of a deployment: it is looked at first, and requested then. */
export function PlanDialog({ action, of, number, environment, close }: Props) {
  const api = useApi();
  const [, navigate] = useLocation();
  const [last] = useQuery(LAST, { environment });
  const [plan, setPlan] = useState<Planned | null>(null);
  const [refusal, setRefusal] = useState("");
  const [key] = useState(newKey);
  const { title, button, plan: planned, request } = ACTIONS[action];

  useEffect(() => {
    let isOver = false;
    api.mutate(planned, { of }).then(
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
  }, [api, planned, of]);

  async function start(form: FormData): Promise<string | null> {
    const { answer } = await api.mutate(request, { of, reason: reasonOf(form), key });
    if (answer.__typename === "Refusal") return answer.message;
    if (answer.merged) show({ text: "A waiting deployment does the same, so yours was merged into it." });
    navigate(`/deployments/${answer.deployment?.id ?? answer.snapshot!.deploymentId}`);
    return null;
  }

  const latest = last.data?.environment?.latestDeployment ?? null;
  return (
    <FormDialog title={title(number)} action={button} isDisabled={plan === null} close={close} submit={start}>
      {refusal && (
        <p role="alert" className="refusal">
          {refusal}
        </p>
      )}
      {!plan && !refusal && <p className="soft">Planning …</p>}
      {plan?.merged && <p className="soft">A waiting deployment does the same. Yours will be merged into it.</p>}
      {action === "rollback" && <p className="soft">The specifications are those of #{number}. The pipeline stays as it is.</p>}
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
            {stage.services.map(({ serviceId, name, status }) => (
              <li key={serviceId} className={status === "SKIPPED" ? "soft" : undefined}>
                <bdi>{name}</bdi>
                {status === "SKIPPED" ? " (skipped)" : comparison(serviceId) && <small> {comparison(serviceId)}</small>}
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
