/** People decide: they approve or reject a stage that waits, and hold or release the deployment. */
import { useState } from "react";

import { useApi } from "../api/context";
import { newKey } from "../api/key";
import { RoleButton } from "../parts/button";
import { FormDialog } from "../parts/dialog";
import { Reason, reasonOf } from "../parts/fields";
import { say } from "../parts/notice";
import { APPROVE, HOLD, REJECT, RELEASE } from "./documents";
import type { Deployment, Stage } from "./state";

type Answer = { __typename: "DeploymentPayload" } | { __typename: "Refusal"; message: string };

interface Decision {
  title: string;
  action: string;
  done: string;
  explanation: string;
  isDangerous?: boolean;
  send: (reason: string | null, key: string) => Promise<Answer>;
}

/** The buttons of what people may decide now. */
export function ReviewButtons({ deployment }: { deployment: Deployment }) {
  const api = useApi();
  const [decision, setDecision] = useState<Decision | null>(null);
  const { id, number, isHeld, stages } = deployment;
  const waiting = stages.find(({ gate }) => gate?.reason === "APPROVAL");

  function review(stage: Stage, approves: boolean): Decision {
    return {
      title: approves ? `Approve ${stage.name}?` : `Reject ${stage.name}?`,
      action: approves ? "Approve" : "Reject",
      done: approves ? "The stage is approved." : "The stage is rejected.",
      explanation: approves ? "The stage starts as soon as it has enough approvals." : "The stage fails, and with it the deployment.",
      isDangerous: !approves,
      send: async (reason, key) => {
        const variables = { deployment: id, stage: stage.stageId, reason, key };
        return approves
          ? (await api.mutate(APPROVE, variables)).approveStage
          : (await api.mutate(REJECT, variables)).rejectStage;
      },
    };
  }

  const hold: Decision = isHeld
    ? {
        title: `Release deployment #${number}?`,
        action: "Release",
        done: "The deployment goes on.",
        explanation: "It goes on where it was held.",
        send: async (reason, key) => (await api.mutate(RELEASE, { deployment: id, reason, key })).releaseDeployment,
      }
    : {
        title: `Hold deployment #${number}?`,
        action: "Hold",
        done: "The deployment is held.",
        explanation: "Running steps are finished. Nothing new starts until it is released.",
        send: async (reason, key) => (await api.mutate(HOLD, { deployment: id, reason, key })).holdDeployment,
      };

  return (
    <>
      {waiting && (
        <>
          <RoleButton needs="DEPLOYER" onClick={() => setDecision(review(waiting, true))}>
            Approve …
          </RoleButton>
          <RoleButton needs="DEPLOYER" onClick={() => setDecision(review(waiting, false))}>
            Reject …
          </RoleButton>
        </>
      )}
      {(isHeld || deployment.cancellation === null) && (
        <RoleButton needs="DEPLOYER" onClick={() => setDecision(hold)}>
          {isHeld ? "Release …" : "Hold …"}
        </RoleButton>
      )}
      {decision && <DecisionDialog decision={decision} close={() => setDecision(null)} />}
    </>
  );
}

function DecisionDialog({ decision, close }: { decision: Decision; close: () => void }) {
  const [key] = useState(newKey);

  async function submit(form: FormData): Promise<string | null> {
    const answer = await decision.send(reasonOf(form), key);
    if (answer.__typename === "Refusal") return answer.message;
    say(decision.done);
    return null;
  }

  return (
    <FormDialog
      title={decision.title}
      action={decision.action}
      back="Back"
      isDangerous={decision.isDangerous}
      close={close}
      submit={submit}
    >
      <p>{decision.explanation}</p>
      <Reason />
    </FormDialog>
  );
}
