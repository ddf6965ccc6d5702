import { useState, type ReactNode } from "react";

import { useQuery } from "../api/context";
import { Dialog, FormDialog } from "../parts/dialog";
import { Choice } from "../parts/fields";
import { listed } from "../parts/format";
import { Failed } from "../parts/states";
import { TYPES } from "./card";
import { ContainerFields, misread } from "./container";
import { SERVICE } from "./documents";
import { CheckFields, FailureFields, RestartFields, Seconds, SourceFields, Variables } from "./spec-fields";
import { checkOf, read, sourceOf, type Check, type Source, type Spec, type SpecInput } from "./spec";
import type { Service, Stage } from "./state";

interface NewService {
  name: string;
  type: "DATABASE" | "JOB" | "CONTAINER" | "APPLICATION";
  stage: string;
  spec: SpecInput;
}

interface AddProps {
  stage: Stage;
  stages: Stage[];
  save: (service: NewService) => Promise<string | null>;
  close: () => void;
}

export function AddServiceDialog({ stage, stages, save, close }: AddProps) {
  const [type, setType] = useState<NewService["type"]>("APPLICATION");
  const form = useSpecForm(null, type === "JOB");
  return (
    <FormDialog
      title="New service"
      action="Add"
      close={close}
      submit={async (data) =>
        misread(data) ??
        save({
          name: String(data.get("name")).trim(),
          type,
          stage: String(data.get("stage")),
          spec: form.read(data),
        })
      }
    >
      <label>
        Name
        <input name="name" required autoFocus autoComplete="off" />
      </label>
      <div className="pair">
        <label>
          Type
          <select value={type} onChange={(event) => setType(event.target.value as NewService["type"])}>
            {Object.entries(TYPES).map(([type, word]) => (
              <option key={type} value={type}>
                {word}
              </option>
            ))}
          </select>
        </label>
        <label>
          Stage
          <select name="stage" defaultValue={stage.id}>
            {stages.map(({ id, position, name }) => (
              <option key={id} value={id}>
                {position} · {name}
              </option>
            ))}
          </select>
        </label>
      </div>
      {form.fields}
    </FormDialog>
  );
}

interface EditProps {
  environment: string;
  service: Service;
  save: (name: string, spec: SpecInput) => Promise<string | null>;
  close: () => void;
}

export function EditServiceDialog({ environment, service, save, close }: EditProps) {
  const [loaded] = useQuery(SERVICE, { environment, service: service.id });
  const spec = loaded.data?.service?.spec;
  if (spec) return <EditForm service={service} spec={spec} save={save} close={close} />;
  return (
    <Dialog title={`Edit ${service.name}`} close={close}>
      {loaded.state === "loading" ? <p className="soft">Loading …</p> : <Failed message="The service can’t be read." />}
      <div className="actions">
        <button onClick={close}>Close</button>
      </div>
    </Dialog>
  );
}

function EditForm({ service, spec, save, close }: Omit<EditProps, "environment"> & { spec: Spec }) {
  const form = useSpecForm(spec, service.type === "JOB");
  return (
    <FormDialog
      title={`Edit ${service.name}`}
      action="Save"
      close={close}
      submit={async (data) => misread(data) ?? save(String(data.get("name")).trim(), form.read(data))}
    >
      <Relations service={service} />
      <label>
        Name
        <input name="name" required autoComplete="off" defaultValue={service.name} />
      </label>
      {form.fields}
    </FormDialog>
  );
}

/** The services that a service needs and that need it, by the references in their specifications. */
export function Relations({ service: { needs, neededBy } }: { service: Service }) {
  if (needs.length + neededBy.length === 0) return null;
  return (
    <p className="soft">
      {needs.length > 0 && (
        <>
          Needs <bdi>{listed(needs.map(({ name }) => name), 8)}</bdi>.{" "}
        </>
      )}
      {neededBy.length > 0 && (
        <>
          Needed by <bdi>{listed(neededBy.map(({ name }) => name), 8)}</bdi>.
        </>
      )}
    </p>
  );
}

/** The fields of a specification, and how a form with them is read. */
function useSpecForm(spec: Spec | null, isJob: boolean): { fields: ReactNode; read: (form: FormData) => SpecInput } {
  const [source, setSource] = useState<Source>(sourceOf(spec));
  const [check, setCheck] = useState<Check>(checkOf(spec));
  const fields = (
    <>
      <label>
        Source
        <select value={source} onChange={(event) => setSource(event.target.value as Source)}>
          <option value="command">a command</option>
          <option value="image">a container image</option>
          <option value="dockerfile">a Dockerfile</option>
        </select>
      </label>
      <SourceFields source={source} spec={spec} />
      <label>
        Ports
        <input
          name="ports"
          inputMode="numeric"
          pattern="[0-9, ]*"
          autoComplete="off"
          placeholder="0 asks for a free one"
          defaultValue={spec?.ports.join(", ")}
        />
      </label>
      <Variables spec={spec} />
      {source !== "command" && <ContainerFields spec={spec} isBuilt={source === "dockerfile"} />}
      <details>
        <summary>{isJob ? "Times" : "Health check and times"}</summary>
        {!isJob && (
          <label>
            Healthy when
            <select value={check} onChange={(event) => setCheck(event.target.value as Check)}>
              <option value="none">it runs</option>
              <option value="http">an address answers</option>
              <option value="tcp">a port accepts connections</option>
              <option value="command">a command succeeds</option>
            </select>
          </label>
        )}
        {!isJob && <CheckFields check={check} spec={spec} />}
        <div className="pair">
          <Seconds name="build-timeout" label="Longest build" value={spec?.buildTimeoutSeconds ?? 1_800} />
          <Seconds name="deploy-timeout" label="Longest deploy" value={spec?.deployTimeoutSeconds ?? 600} />
        </div>
        <div className="pair">
          <Seconds name="stop-grace" label="Time to stop" value={spec?.stopGraceSeconds ?? 10} />
          <label>
            Signal to stop
            <select name="stop-signal" defaultValue={spec?.stopSignal ?? "TERM"}>
              {["TERM", "INT", "QUIT", "HUP", "USR1", "USR2", "WINCH"].map((signal) => (
                <option key={signal}>{signal}</option>
              ))}
            </select>
          </label>
        </div>
        {isJob ? (
          <Choice name="once" label="It runs once for each revision" isChosen={spec?.once} />
        ) : (
          <Choice name="stop-first" label="The old instance stops before the new one starts" isChosen={spec?.stopFirst} />
        )}
      </details>
      {!isJob && <RestartFields spec={spec} />}
      <FailureFields spec={spec} />
    </>
  );
  return { fields, read: (form) => read(form, source, isJob ? null : check, spec) };
}
