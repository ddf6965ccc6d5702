import { useState, type ReactNode } from "react";

import { checkOf, sourceOf, type Check, type Source, type Spec } from "./spec";
import "./service.css";

/** All fields of a specification; *spec* has their values, null for a new service. */
export function SpecFields({ spec }: { spec: Spec | null }) {
  return (
    <>
      <SourceFields spec={spec} />
      <label>
        Ports
        <input
          name="ports"
          inputMode="numeric"
          pattern="[0-9,\s]*"
          autoComplete="off"
          placeholder="8080, 0 (0 asks for a free one)"
          defaultValue={spec?.ports.join(", ")}
        />
      </label>
      <Part title="Variables" isOpen={(spec?.env.length ?? 0) > 0}>
        <Variables spec={spec} />
      </Part>
      <Part title="Health check" isOpen={checkOf(spec) !== "none"}>
        <HealthFields spec={spec} />
      </Part>
      <Part title="Times, in seconds" isOpen={false}>
        <div className="numbers">
          <Num name="buildTimeoutSeconds" label="Build, at most" value={spec?.buildTimeoutSeconds} ifEmpty={1800} />
          <Num name="deployTimeoutSeconds" label="Deploy, at most" value={spec?.deployTimeoutSeconds} ifEmpty={600} />
          <Num name="stopGraceSeconds" label="Grace of a stop" value={spec?.stopGraceSeconds} ifEmpty={10} />
        </div>
      </Part>
      <Part title="Failures" isOpen={(spec?.retries ?? 0) > 0 || (spec?.allowFailure ?? false)}>
        <label className="check">
          <input type="checkbox" name="allowFailure" defaultChecked={spec?.allowFailure} />
          A deployment may succeed without it
        </label>
        <div className="numbers">
          <Num name="retries" label="Retries" value={spec?.retries} ifEmpty={0} step={1} />
          <Num name="backoff.initialSeconds" label="First wait (s)" value={spec?.backoff.initialSeconds} ifEmpty={1} />
          <Num name="backoff.factor" label="Factor" value={spec?.backoff.factor} ifEmpty={2} />
          <Num name="backoff.maxSeconds" label="Longest wait (s)" value={spec?.backoff.maxSeconds} ifEmpty={30} />
          <Num name="backoff.jitter" label="Jitter (0 to 1)" value={spec?.backoff.jitter} ifEmpty={0} />
        </div>
      </Part>
    </>
  );
}

function Part({ title, isOpen, children }: { title: string; isOpen: boolean; children: ReactNode }) {
  return (
    <details open={isOpen}>
      <summary>{title}</summary>
      <div className="part">{children}</div>
    </details>
  );
}

interface NumProps {
  name: string;
  label: string;
  value: number | undefined;
  /** The server's default. */
  ifEmpty: number;
  step?: number | "any";
}

function Num({ name, label, value, ifEmpty, step = "any" }: NumProps) {
  return (
    <label>
      {label}
      <input type="number" name={name} min={0} step={step} placeholder={String(ifEmpty)} defaultValue={value} />
    </label>
  );
}

function SourceFields({ spec }: { spec: Spec | null }) {
  const [source, setSource] = useState<Source>(() => sourceOf(spec));
  return (
    <>
      <label>
        Source
        <select value={source} onChange={(event) => setSource(event.target.value as Source)}>
          <option value="command">a command</option>
          <option value="image">a container image</option>
          <option value="context">a folder with a Dockerfile</option>
          <option value="none">nothing yet</option>
        </select>
      </label>
      {source === "image" && (
        <label>
          Image
          <input name="image" required autoComplete="off" placeholder="redis:8" defaultValue={spec?.image ?? ""} />
        </label>
      )}
      {source === "context" && (
        <div className="pair">
          <label>
            Folder on the server
            <input name="buildContext" required autoComplete="off" placeholder="/srv/shop" defaultValue={spec?.buildContext ?? ""} />
          </label>
          <label>
            Dockerfile
            <input name="dockerfile" autoComplete="off" placeholder="Dockerfile" defaultValue={spec?.dockerfile ?? ""} />
          </label>
        </div>
      )}
      {source === "command" && (
        <>
          <label>
            Command
            <textarea
              name="runCommand"
              rows={2}
              spellCheck={false}
              placeholder="exec ./server --port $PORT"
              defaultValue={spec?.runCommand ?? ""}
            />
          </label>
          <label>
            Directory on the server
            <input name="workingDirectory" autoComplete="off" placeholder="/srv/shop" defaultValue={spec?.workingDirectory ?? ""} />
          </label>
          <BuildCommands spec={spec} />
        </>
      )}
    </>
  );
}

function BuildCommands({ spec }: { spec: Spec | null }) {
  const [rows, add, remove] = useRows(spec?.buildCommands ?? []);
  return (
    <fieldset className="rows">
      <legend>Build commands, in order</legend>
      {rows.map(({ id, value }, index) => (
        <div key={id} className="row">
          <textarea name="buildCommands" rows={1} spellCheck={false} aria-label={`Build command ${index + 1}`} defaultValue={value} />
          <Remove label={`Remove build command ${index + 1}`} remove={() => remove(id)} />
        </div>
      ))}
      <button type="button" onClick={() => add("")}>
        Add a build command
      </button>
    </fieldset>
  );
}

function Variables({ spec }: { spec: Spec | null }) {
  const [rows, add, remove] = useRows(spec?.env ?? []);
  return (
    <div className="rows">
      {rows.map(({ id, value }, index) => (
        <div key={id} className="row">
          <input
            name="env.name"
            autoComplete="off"
            spellCheck={false}
            aria-label={`Name of variable ${index + 1}`}
            placeholder="NAME"
            defaultValue={value.name}
          />
          <textarea
            name="env.value"
            rows={1}
            spellCheck={false}
            aria-label={`Value of variable ${index + 1}`}
            placeholder="value"
            defaultValue={value.value}
          />
          <Remove label={`Remove variable ${index + 1}`} remove={() => remove(id)} />
        </div>
      ))}
      <button type="button" onClick={() => add({ name: "", value: "" })}>
        Add a variable
      </button>
    </div>
  );
}

function Remove({ label, remove }: { label: string; remove: () => void }) {
  return (
    <button type="button" className="dots" aria-label={label} title={label} onClick={remove}>
      <span aria-hidden="true">✕</span>
    </button>
  );
}

function HealthFields({ spec }: { spec: Spec | null }) {
  const [check, setCheck] = useState<Check>(() => checkOf(spec));
  const health = spec?.healthCheck;
  return (
    <>
      <label>
        Healthy when
        <select name="check" value={check} onChange={(event) => setCheck(event.target.value as Check)}>
          <option value="none">it has started</option>
          <option value="http">an HTTP request succeeds</option>
          <option value="tcp">a port accepts a connection</option>
          <option value="command">a command succeeds</option>
        </select>
      </label>
      {check === "http" && (
        <div className="pair">
          <label>
            Path
            <input name="healthCheck.http.path" autoComplete="off" placeholder="/" defaultValue={health?.http?.path} />
          </label>
          <Num name="healthCheck.http.portIndex" label="Port, by its place from 0" value={health?.http?.portIndex} ifEmpty={0} step={1} />
        </div>
      )}
      {check === "tcp" && (
        <Num name="healthCheck.tcp.portIndex" label="Port, by its place from 0" value={health?.tcp?.portIndex} ifEmpty={0} step={1} />
      )}
      {check === "command" && (
        <label>
          Check command
          <textarea name="healthCheck.command" rows={1} required spellCheck={false} defaultValue={health?.command ?? ""} />
        </label>
      )}
      {check !== "none" && (
        <div className="numbers">
          <Num name="healthCheck.intervalSeconds" label="Every (s)" value={health?.intervalSeconds} ifEmpty={1} />
          <Num name="healthCheck.timeoutSeconds" label="At most (s)" value={health?.timeoutSeconds} ifEmpty={5} />
          <Num name="healthCheck.startPeriodSeconds" label="Failed after (s)" value={health?.startPeriodSeconds} ifEmpty={60} />
        </div>
      )}
    </>
  );
}

/** Keep a list of rows whose fields keep their texts themselves. */
function useRows<Value>(values: readonly Value[]) {
  const [rows, setRows] = useState(() => values.map((value) => ({ id: crypto.randomUUID(), value })));
  const add = (value: Value) => setRows((now) => [...now, { id: crypto.randomUUID(), value }]);
  const remove = (id: string) => setRows((now) => now.filter((row) => row.id !== id));
  return [rows, add, remove] as const;
}
