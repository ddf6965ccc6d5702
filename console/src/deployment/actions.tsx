import { useState } from "react";

import { useApi } from "../api/context";
import { newKey } from "../api/key";
import { RoleButton } from "../parts/button";
import { FormDialog } from "../parts/dialog";
import { Menu } from "../parts/menu";
import { say } from "../parts/notice";
import { CANCEL } from "./documents";
import type { Deployment } from "./state";
import { PlanDialog } from "./plan";

/** Finish the running steps, or stop them; each is asked for again. */
export function CancelButton({ deployment }: { deployment: Deployment }) {
  const [force, setForce] = useState<boolean | null>(null);
  return (
    <>
      <Menu
        label="Cancel the deployment"
        text="Cancel …"
        needs="DEPLOYER"
        items={() => [
          {
            label: "Finish running steps, start no more",
            isDisabled: deployment.cancellation !== null,
            action: () => setForce(false),
          },
          {
            label: "Stop running steps now",
            isDangerous: true,
            isDisabled: deployment.cancellation === "FORCED",
            action: () => setForce(true),
          },
        ]}
      />
      {force !== null && <CancelDialog deployment={deployment} force={force} close={() => setForce(null)} />}
    </>
  );
}

function CancelDialog({ deployment, force, close }: { deployment: Deployment; force: boolean; close: () => void }) {
  const api = useApi();
  const [key] = useState(newKey);
  const running = deployment.stages.flatMap(({ services }) => services.filter(({ status }) => status === "RUNNING"));

  async function cancel(): Promise<string | null> {
    const { cancelDeployment: answer } = await api.mutate(CANCEL, { deployment: deployment.id, force, key });
    if (answer.__typename === "Refusal") return answer.message;
    say(force ? "Running steps are stopped." : "No step starts any more.");
    return null;
  }

  return (
    <FormDialog
      title={force ? `Stop deployment #${deployment.number} now?` : `Cancel deployment #${deployment.number}?`}
      action={force ? "Stop it now" : "Cancel it"}
      back="Back"
      isDangerous
      close={close}
      submit={cancel}
    >
      <p>{force ? "Running steps are stopped where they are." : "Running steps are finished. No other step starts."}</p>
      {running.length > 0 && (
        <p className="soft">
          Now running: <bdi>{running.map(({ name }) => name).join(", ")}</bdi>
        </p>
      )}
    </FormDialog>
  );
}

interface RepeatProps {
  deployment: Deployment;
  action: "retry" | "rollback";
  label: string;
}

/** A button that shows the plan of a deployment which is done again, and deploys it. */
export function RepeatButton({ deployment: { id, environment, number }, action, label }: RepeatProps) {
  const [isOpen, setOpen] = useState(false);
  return (
    <>
      <RoleButton needs="DEPLOYER" onClick={() => setOpen(true)}>
        {label}
      </RoleButton>
      {isOpen && <PlanDialog action={action} of={id} number={number} environment={environment.id} close={() => setOpen(false)} />}
    </>
  );
}
