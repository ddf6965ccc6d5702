import { FormDialog } from "../parts/dialog";
import { Choice } from "../parts/fields";
import { ROLES, type Role } from "../session/rights";
import type { EnvironmentPolicy, Freeze, Stage, StagePolicy } from "./state";

const ON_FAILURE = (
  <>
    <option value="STOP">stop the deployment</option>
    <option value="CONTINUE">go on, and fail at the end</option>
    <option value="ROLL_BACK">stop, and roll back what was renewed</option>
  </>
);

/** The roles that an approval may need: a viewer decides nothing. */
const APPROVERS = ROLES.slice(1);

interface StageProps {
  stage: Stage;
  save: (policy: StagePolicy) => Promise<string | null>;
  close: () => void;
}

/** How a stage is deployed, where it differs from the environment. */
export function StagePolicyDialog({ stage, save, close }: StageProps) {
  const { concurrency, onFailure, always, approval, waitSeconds, check } = stage.policy;
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
          approval: approvalOf(form),
          waitSeconds: Number(form.get("wait")) || null,
          check: checkOf(form),
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
          {ON_FAILURE}
        </select>
      </label>
      <Choice name="always" label="Run it also after a failure stopped the deployment" isChosen={always} />
      <label>
        People who must approve it before it starts
        <input name="approvals" type="number" min={1} max={20} placeholder="none" defaultValue={approval?.count ?? ""} />
      </label>
      <label>
        Time to approve it, in seconds
        <input
          name="approval-timeout"
          type="number"
          min={0.01}
          max={2592000}
          step="any"
          placeholder="no limit"
          defaultValue={approval?.timeoutSeconds ?? ""}
        />
      </label>
      <label>
        After that time
        <select name="on-timeout" defaultValue={approval?.onTimeout ?? "REJECT"}>
          <option value="REJECT">reject it</option>
          <option value="APPROVE">start it</option>
        </select>
      </label>
      <label>
        Role of those who approve it
        <select name="approval-role" defaultValue={approval?.role ?? "DEPLOYER"}>
          {APPROVERS.map((role) => (
            <option key={role} value={role}>
              {role.toLowerCase()}
            </option>
          ))}
        </select>
      </label>
      <Choice
        name="self-approval"
        label="The requester of the deployment may approve it"
        isChosen={approval?.selfApproval ?? true}
      />
      <label>
        Time to wait before it starts, in seconds
        <input
          name="wait"
          type="number"
          min={0.01}
          max={2592000}
          step="any"
          placeholder="none"
          defaultValue={waitSeconds ?? ""}
        />
      </label>
      <label>
        Address that must answer before it starts
        <input name="check" type="url" placeholder="none" maxLength={2000} defaultValue={check?.url ?? ""} />
      </label>
      <label>
        Seconds between two tries
        <input
          name="check-interval"
          type="number"
          min={0.01}
          max={2592000}
          step="any"
          defaultValue={check?.intervalSeconds ?? 10}
        />
      </label>
      <label>
        Seconds after which it fails
        <input
          name="check-timeout"
          type="number"
          min={0.01}
          max={2592000}
          step="any"
          defaultValue={check?.timeoutSeconds ?? 600}
        />
      </label>
    </FormDialog>
  );
}

/** Return the approval that the form asks for; without a time, nothing happens after it. */
function approvalOf(form: FormData): StagePolicy["approval"] {
  const count = Number(form.get("approvals"));
  if (!count) return null;
  const timeoutSeconds = Number(form.get("approval-timeout")) || null;
  const onTimeout = timeoutSeconds !== null && form.get("on-timeout") === "APPROVE" ? "APPROVE" : "REJECT";
  const role = String(form.get("approval-role")) as Role;
  return { count, timeoutSeconds, onTimeout, selfApproval: form.has("self-approval"), role };
}

/** Return the check that the form asks for. */
function checkOf(form: FormData): StagePolicy["check"] {
  const url = String(form.get("check"));
  if (!url) return null;
  return {
    url,
    intervalSeconds: Number(form.get("check-interval")) || 10,
    timeoutSeconds: Number(form.get("check-timeout")) || 600,
  };
}

/** The units of a duration, in seconds, the largest first. */
const UNITS: [string, number][] = [["d", 86_400], ["h", 3600], ["m", 60], ["s", 1]];

/** A freeze as a line of the form: "0 18 * * FRI; 60h; Europe/Berlin; hold". */
function line({ cron, durationSeconds, timeZone, action }: Freeze) {
  const [unit, seconds] = UNITS.find((each) => durationSeconds % each[1] === 0) ?? ["s", 1];
  return `${cron}; ${durationSeconds / seconds}${unit}; ${timeZone}; ${action.toLowerCase()}`;
}

/** Return the freeze of a line of the form, or null if it is none; the server checks its parts. */
function freezeOf(text: string): Freeze | null {
  const [cron = "", duration = "", timeZone = "UTC", action = "refuse", ...rest] = text.split(";").map((part) => part.trim());
  const [, number, unit] = /^(\d+(?:\.\d+)?) ?([smhd])$/.exec(duration) ?? [];
  const seconds = UNITS.find((each) => each[0] === unit)?.[1];
  const isAction = /^(refuse|hold)$/i.test(action);
  if (!number || !seconds || !isAction || rest.length > 0) return null;
  return { cron, durationSeconds: Number(number) * seconds, timeZone, action: action.toUpperCase() as Freeze["action"] };
}

interface EnvironmentProps {
  policy: EnvironmentPolicy;
  concurrency: number;
  save: (concurrency: number, policy: EnvironmentPolicy) => Promise<string | null>;
  close: () => void;
}

/** How the deployments of an environment are carried out. */
export function EnvironmentPolicyDialog({ policy, concurrency, save, close }: EnvironmentProps) {
  return (
    <FormDialog
      title="Policy of the environment"
      action="Save"
      close={close}
      submit={async (form) => {
        const freezes: Freeze[] = [];
        for (const text of String(form.get("freezes")).split("\n").filter((each) => each.trim())) {
          const freeze = freezeOf(text);
          if (!freeze) return `Invalid freeze "${text.trim()}": one is "0 18 * * FRI; 60h; Europe/Berlin; hold".`;
          freezes.push(freeze);
        }
        return save(Number(form.get("concurrency")), {
          onFailure: String(form.get("on-failure")) as EnvironmentPolicy["onFailure"],
          buildBarrier: form.has("barrier"),
          freezes,
          onRequest: String(form.get("on-request")) as EnvironmentPolicy["onRequest"],
          deploymentTimeoutSeconds: Number(form.get("timeout")) || null,
        });
      }}
    >
      <label>
        Services at once
        <input name="concurrency" type="number" min={1} max={100} required defaultValue={concurrency} />
      </label>
      <label>
        When a service fails
        <select name="on-failure" defaultValue={policy.onFailure}>
          {ON_FAILURE}
        </select>
      </label>
      <label>
        When one is requested while another runs
        <select name="on-request" defaultValue={policy.onRequest}>
          <option value="MERGE">merge equal requests</option>
          <option value="WAIT">let each one wait for its turn</option>
          <option value="SUPERSEDE">replace those that wait</option>
        </select>
      </label>
      <label>
        Longest duration of a deployment, in seconds
        <input
          name="timeout"
          type="number"
          min={1}
          max={604800}
          step="any"
          placeholder="no limit"
          defaultValue={policy.deploymentTimeoutSeconds ?? ""}
        />
      </label>
      <label>
        Freezes, one a line: cron; duration (s, m, h or d); time zone; refuse or hold
        <textarea
          name="freezes"
          rows={2}
          placeholder="0 18 * * FRI; 60h; Europe/Berlin; hold"
          defaultValue={policy.freezes.map(line).join("\n")}
        />
      </label>
      <Choice name="barrier" label="End all builds of a stage before its first deploy" isChosen={policy.buildBarrier} />
    </FormDialog>
  );
}
