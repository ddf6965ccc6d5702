import { useId } from "react";

import { FormDialog } from "../parts/dialog";
import type { EnvironmentPolicy, Stage, StagePolicy } from "./state";

interface StageProps {
  stage: Stage;
  save: (policy: StagePolicy) => Promise<string | null>;
  close: () => void;
}

/** How a stage is deployed, where it differs from the environment. */
export function StagePolicyDialog({ stage, save, close }: StageProps) {
  const { concurrency, onFailure, always } = stage.policy;
  const id = useId();
  return (
    <FormDialog
      title={`Policy of ${stage.name}`}
      action="Save"
      close={close}
      submit={(form) =>
        save({
          concurrency: Number(form.get("concurrency")) || null,
          onFailure: (String(form.get("on-failure")) || null) as StagePolicy["onFailure"],
          always: form.has("always"),
        })
      }
    >
      <label>
        Services at once
        <input
          name="concurrency"
          type="number"
          min={1}
          max={100}
          placeholder="as the environment"
          defaultValue={concurrency ?? ""}
        />
      </label>
      <label>
        When a service fails
        <select name="on-failure" defaultValue={onFailure ?? ""}>
          <option value="">as the environment</option>
          <option value="STOP">stop the deployment</option>
          <option value="CONTINUE">go on, and fail at the end</option>
        </select>
      </label>
      <div className="choice">
        <input id={id} name="always" type="checkbox" defaultChecked={always} />
        <label htmlFor={id}>Run it also after a failure stopped the deployment</label>
      </div>
    </FormDialog>
  );
}

interface EnvironmentProps {
  policy: EnvironmentPolicy;
  concurrency: number;
  save: (concurrency: number, policy: EnvironmentPolicy) => Promise<string | null>;
  close: () => void;
}

/** How the deployments of an environment are carried out. */
export function EnvironmentPolicyDialog({ policy, concurrency, save, close }: EnvironmentProps) {
  const id = useId();
  return (
    <FormDialog
      title="Policy of the environment"
      action="Save"
      close={close}
      submit={(form) =>
        save(Number(form.get("concurrency")), {
          onFailure: String(form.get("on-failure")) as EnvironmentPolicy["onFailure"],
          buildBarrier: form.has("barrier"),
        })
      }
    >
      <label>
        Services at once
        <input name="concurrency" type="number" min={1} max={100} required defaultValue={concurrency} />
      </label>
      <label>
        When a service fails
        <select name="on-failure" defaultValue={policy.onFailure}>
          <option value="STOP">stop the deployment</option>
          <option value="CONTINUE">go on, and fail at the end</option>
        </select>
      </label>
      <div className="choice">
        <input id={id} name="barrier" type="checkbox" defaultChecked={policy.buildBarrier} />
        <label htmlFor={id}>End all builds of a stage before its first deploy</label>
      </div>
    </FormDialog>
  );
}
