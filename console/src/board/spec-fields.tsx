/** The fields of a form for the specification of a service; `read` in spec.ts reads them. */
import { useState } from "react";

import { Choice } from "../parts/fields";
import type { Check, Source, Spec } from "./spec";

export function SourceFields({ source, spec }: { source: Source; spec: Spec | null }) {
  if (source === "image") {
    return (
      <label>
        Image
        <input name="image" required autoComplete="off" placeholder="redis:8" defaultValue={spec?.image ?? ""} />
      </label>
    );
  }
  if (source === "dockerfile") {
    return (
      <div className="pair">
        <label>
          Folder on the server
          <input name="context" required autoComplete="off" defaultValue={spec?.buildContext ?? ""} />
        </label>
        <label>
          Dockerfile in it
          <input name="dockerfile" autoComplete="off" placeholder="Dockerfile" defaultValue={spec?.dockerfile ?? ""} />
        </label>
      </div>
    );
  }
  return (
    <>
      <label>
        Command
        <textarea
          name="run"
          required
          rows={1}
          placeholder="exec ./server --port $PORT"
          defaultValue={spec?.runCommand ?? ""}
        />
      </label>
      <Commands spec={spec} />
      <label>
        Directory on the server
        <input name="directory" autoComplete="off" defaultValue={spec?.workingDirectory ?? ""} />
      </label>
    </>
  );
}

function Commands({ spec }: { spec: Spec | null }) {
  const [keys, add, remove] = useKeys(spec?.buildCommands.length ?? 0);
  return (
    <fieldset>
      <legend>Build commands</legend>
      {keys.map((key, at) => (
        <div className="entry" key={key}>
          <textarea name="build" rows={1} aria-label={`Build command ${at + 1}`} defaultValue={spec?.buildCommands[key]} />
          <RemoveButton what={`build command ${at + 1}`} remove={() => remove(key)} />
        </div>
      ))}
      <button type="button" onClick={add}>
        Add a command
      </button>
    </fieldset>
  );
}

export function Variables({ spec }: { spec: Spec | null }) {
  const [keys, add, remove] = useKeys(spec?.env.length ?? 0);
  return (
    <fieldset>
      <legend>Variables</legend>
      {keys.map((key, at) => (
        <div className="entry" key={key}>
          <input name="variable" autoComplete="off" aria-label={`Name of variable ${at + 1}`} defaultValue={spec?.env[key]?.name} />
          <textarea name="value" rows={1} aria-label={`Value of variable ${at + 1}`} defaultValue={spec?.env[key]?.value} />
          <RemoveButton what={`variable ${at + 1}`} remove={() => remove(key)} />
        </div>
      ))}
      <button type="button" onClick={add}>
        Add a variable
      </button>
    </fieldset>
  );
}

function RemoveButton({ what, remove }: { what: string; remove: () => void }) {
  return (
    <button type="button" className="dots" aria-label={`Remove ${what}`} onClick={remove}>
      <span aria-hidden="true">✕</span>
    </button>
  );
}

/** Return a key for each entry of a list that begins with *count* entries, and how to add and remove one. */
function useKeys(count: number): [keys: number[], add: () => void, remove: (key: number) => void] {
  const [keys, setKeys] = useState(() => Array.from({ length: count }, (_, at) => at));
  const add = () => setKeys((now) => [...now, Math.max(count - 1, ...now) + 1]);
  return [keys, add, (key) => setKeys((now) => now.filter((each) => each !== key))];
}

export function CheckFields({ check, spec }: { check: Check; spec: Spec | null }) {
  const health = spec?.healthCheck;
  if (check === "none") return null;
  return (
    <>
      {check === "command" ? (
        <label>
          Health command
          <textarea name="health-command" required rows={1} defaultValue={health?.command ?? ""} />
        </label>
      ) : (
        <div className="pair">
          <label>
            Port, by its place from 0
            <input name="health-port" type="number" min={0} defaultValue={health?.http?.portIndex ?? health?.tcp?.portIndex ?? 0} />
          </label>
          {check === "http" && (
            <label>
              Path
              <input name="health-path" autoComplete="off" defaultValue={health?.http?.path ?? "/"} />
            </label>
          )}
        </div>
      )}
      <FurtherChecks spec={spec} />
      <div className="pair">
        <Seconds name="interval" label="Checked each" value={health?.intervalSeconds ?? 1} />
        <Seconds name="timeout" label="Longest check" value={health?.timeoutSeconds ?? 5} />
      </div>
      <Seconds name="start-period" label="Time to become healthy" value={health?.startPeriodSeconds ?? 60} />
      <div className="pair">
        <Seconds name="watch" label="Then checked each" value={health?.watchIntervalSeconds ?? 30} />
        <label>
          Unhealthy after so many failures
          <input name="failures" type="number" min={1} max={100} required defaultValue={health?.failureThreshold ?? 3} />
        </label>
      </div>
    </>
  );
}

function FurtherChecks({ spec }: { spec: Spec | null }) {
  const also = spec?.healthCheck?.also ?? [];
  const [keys, add, remove] = useKeys(also.length);
  return (
    <fieldset>
      <legend>Further checks</legend>
      {keys.map((key, at) => {
        const { http, tcp, command } = also[key] ?? {};
        return (
          <div className="entry" key={key}>
            <select name="also" aria-label={`Kind of check ${at + 2}`} defaultValue={http ? "http" : tcp ? "tcp" : "command"}>
              <option value="http">address</option>
              <option value="tcp">port</option>
              <option value="command">command</option>
            </select>
            <textarea name="also-target" rows={1} aria-label={`Path or command of check ${at + 2}`} defaultValue={http?.path ?? command ?? ""} />
            <input name="also-port" type="number" min={0} aria-label={`Port of check ${at + 2}, by its place from 0`} defaultValue={http?.portIndex ?? tcp?.portIndex ?? 0} />
            <RemoveButton what={`check ${at + 2}`} remove={() => remove(key)} />
          </div>
        );
      })}
      <button type="button" onClick={add}>
        Add a check
      </button>
    </fieldset>
  );
}

function BackoffFields({ of, backoff }: { of: string; backoff: Spec["backoff"] | undefined }) {
  return (
    <div className="pair">
      <Seconds name={`${of}initial`} label="First wait" value={backoff?.initialSeconds ?? 1} />
      <Seconds name={`${of}max`} label="Longest wait" value={backoff?.maxSeconds ?? 30} />
      <label>
        Each wait is longer by the factor
        <input name={`${of}factor`} type="number" min={1} max={10} step="any" defaultValue={backoff?.factor ?? 2} />
      </label>
      <label>
        Part by chance, in %
        <input name={`${of}jitter`} type="number" min={0} max={100} step="any" defaultValue={100 * (backoff?.jitter ?? 0)} />
      </label>
    </div>
  );
}

export function RestartFields({ spec }: { spec: Spec | null }) {
  return (
    <details>
      <summary>When its instance ends</summary>
      <label>
        Start it again
        <select name="restart" defaultValue={spec?.restart ?? "ALWAYS"}>
          <option value="ALWAYS">always</option>
          <option value="ON_FAILURE">after a failure</option>
          <option value="NO">never</option>
        </select>
      </label>
      <BackoffFields of="restart-" backoff={spec?.restartBackoff} />
      <div className="pair">
        <label>
          Given up after so many restarts
          <input name="restart-limit" type="number" min={1} max={1000} required defaultValue={spec?.restartLimit ?? 10} />
        </label>
        <Seconds name="restart-window" label="Within" value={spec?.restartWindowSeconds ?? 600} />
      </div>
    </details>
  );
}

export function FailureFields({ spec }: { spec: Spec | null }) {
  return (
    <details>
      <summary>When a step fails</summary>
      <label>
        Retries
        <input name="retries" type="number" min={0} max={100} defaultValue={spec?.retries ?? 0} />
      </label>
      <BackoffFields of="" backoff={spec?.backoff} />
      <Choice
        name="allow-failure"
        label="It may fail: the deployment goes on as if it had succeeded"
        isChosen={spec?.allowFailure}
      />
    </details>
  );
}

export function Seconds({ name, label, value }: { name: string; label: string; value: number }) {
  return (
    <label>
      {label}, in seconds
      <input name={name} type="number" min={0} step="any" required defaultValue={value} />
    </label>
  );
}
