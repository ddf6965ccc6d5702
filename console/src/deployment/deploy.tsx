import { useEffect, useState } from "react";
import { useLocation } from "wouter";

import { message } from "../api/client";
import { useApi } from "../api/context";
import { useCommands } from "../command/commands";
import type { ResultOf } from "../graphql";
import { FormDialog } from "../parts/dialog";
import { show } from "../parts/notice";
import { DEPLOY, PLAN } from "./documents";
import "./deploy.css";

type Planned = Extract<ResultOf<typeof PLAN>["deploy"], { __typename: "DeploymentPayload" }>;

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
      {isOpen && <PlanDialog environment={environment} close={() => setOpen(false)} />}
    </>
  );
}

function PlanDialog({ environment, close }: { environment: string; close: () => void }) {
  const api = useApi();
  const [, navigate] = useLocation();
  const [plan, setPlan] = useState<Planned | null>(null);
  const [refusal, setRefusal] = useState("");
  const [key] = useState(() => crypto.randomUUID());

  useEffect(() => {
    let isOver = false;
    api.mutate(PLAN, { environment }).then(
      ({ deploy }) => {
        if (isOver) return;
        if (deploy.__typename === "Refusal") setRefusal(deploy.message);
        else setPlan(deploy);
      },
      (fault: unknown) => isOver || setRefusal(message(fault)),
    );
    return () => {
      isOver = true;
    };
  }, [api, environment]);

  async function start(form: FormData): Promise<string | null> {
    const reason = String(form.get("reason")).trim() || null;
    const { deploy } = await api.mutate(DEPLOY, { environment, reason, key });
    if (deploy.__typename === "Refusal") return deploy.message;
    if (deploy.merged) show({ text: "A waiting deployment does the same, so yours was merged into it." });
    navigate(`/deployments/${deploy.deployment?.id ?? deploy.snapshot!.deploymentId}`);
    return null;
  }

  return (
    <FormDialog title="Deploy" action="Deploy" isDisabled={plan === null} close={close} submit={start}>
      {refusal && (
        <p role="alert" className="refusal">
          {refusal}
        </p>
      )}
      {!plan && !refusal && <p className="soft">Planning …</p>}
      {plan?.merged && <p className="soft">A waiting deployment does the same. Yours will be merged into it.</p>}
      {plan && (
        <ol className="plan" aria-label="Order">
          {plan.snapshot?.stages.map((stage) => (
            <li key={stage.stageId} value={stage.position}>
              <bdi>{stage.name}</bdi>
              <ul>
                {stage.services.map(({ serviceId, name, status }) => (
                  <li key={serviceId} className={status === "SKIPPED" ? "soft" : undefined}>
                    <bdi>{name}</bdi>
                    {status === "SKIPPED" && " (skipped)"}
                  </li>
                ))}
                {stage.services.length === 0 && <li className="soft">nothing to deploy</li>}
              </ul>
            </li>
          ))}
        </ol>
      )}
      <label>
        Reason (optional)
        <input name="reason" autoComplete="off" maxLength={1000} />
      </label>
    </FormDialog>
  );
}
