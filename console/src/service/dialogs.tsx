import { useQuery } from "../api/context";
import { TYPES } from "../board/card";
import type { Service, Stage } from "../board/state";
import { Dialog, FormDialog } from "../parts/dialog";
import { Failed, Loading } from "../parts/states";
import { SERVICE } from "./documents";
import { SpecFields } from "./fields";
import { readSpec, type ServiceType, type SpecInput } from "./spec";

type Save<Arguments extends unknown[]> = (...values: Arguments) => Promise<string | null>;

export interface NewService {
  name: string;
  type: ServiceType;
  stage: string;
  spec: SpecInput;
}

interface AddProps {
  stage: Stage;
  stages: Stage[];
  save: Save<[service: NewService]>;
  close: () => void;
}

export function AddServiceDialog({ stage, stages, save, close }: AddProps) {
  const submit = (form: FormData) =>
    save({
      name: String(form.get("name")),
      type: form.get("type") as ServiceType,
      stage: String(form.get("stage")),
      spec: readSpec(form),
    });
  return (
    <FormDialog title="New service" action="Add" className="service" close={close} submit={submit}>
      <label>
        Name
        <input name="name" required autoFocus autoComplete="off" />
      </label>
      <div className="pair">
        <label>
          Type
          <select name="type" defaultValue="APPLICATION">
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
      <SpecFields spec={null} />
    </FormDialog>
  );
}

interface EditProps {
  environment: string;
  service: Service;
  /** Save what was edited, since the version of the pipeline that the person saw. */
  save: Save<[name: string, spec: SpecInput, since: number]>;
  close: () => void;
}

/** A service with its whole specification, as it is now. */
export function EditServiceDialog({ environment, service, save, close }: EditProps) {
  const [loaded, again] = useQuery(SERVICE, { environment, service: service.id });
  const title = `Edit ${service.name}`;
  const found = loaded.data?.service;
  const version = loaded.data?.pipeline?.version;
  if (!found || version === undefined) {
    return (
      <Dialog title={title} close={close}>
        {loaded.state === "loading" && <Loading what="the specification" />}
        {loaded.state === "failed" && <Failed message={loaded.message} again={again} />}
        {loaded.state === "loaded" && <p className="empty">The service was removed.</p>}
        <div className="actions">
          <button onClick={close}>Close</button>
        </div>
      </Dialog>
    );
  }
  return (
    <FormDialog
      title={title}
      action="Save"
      className="service"
      close={close}
      submit={(form) => save(String(form.get("name")), readSpec(form), version)}
    >
      <label>
        Name
        <input name="name" required autoFocus autoComplete="off" defaultValue={found.name} />
      </label>
      <SpecFields spec={found.spec} />
    </FormDialog>
  );
}

interface RemoveProps {
  service: Service;
  remove: Save<[]>;
  close: () => void;
}

export function RemoveServiceDialog({ service, remove, close }: RemoveProps) {
  return (
    <FormDialog title={`Remove ${service.name}?`} action="Remove" isDangerous close={close} submit={() => remove()}>
      <p>It leaves the pipeline. The history keeps it, and Undo brings it back.</p>
    </FormDialog>
  );
}
