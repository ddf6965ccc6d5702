import { useState } from "react";

import { Dialog, FormDialog } from "../parts/dialog";
import { TYPES } from "./card";
import type { Conflict } from "./changes";
import type { Stage } from "./state";

type Save<Arguments extends unknown[]> = (...values: Arguments) => Promise<string | null>;

export function StageDialog({ save, close }: { save: Save<[name: string, description: string]>; close: () => void }) {
  return (
    <FormDialog
      title="New stage"
      action="Create"
      close={close}
      submit={(form) => save(String(form.get("name")), String(form.get("description")))}
    >
      <p className="soft">It becomes the last stage; drag it to where it belongs.</p>
      <label>
        Name
        <input name="name" required autoFocus autoComplete="off" />
      </label>
      <label>
        Description
        <textarea name="description" rows={2} />
      </label>
    </FormDialog>
  );
}

interface StageProps {
  stage: Stage;
  close: () => void;
}

export function DescribeDialog({ stage, save, close }: StageProps & { save: Save<[description: string]> }) {
  return (
    <FormDialog
      title={`Describe ${stage.name}`}
      action="Save"
      close={close}
      submit={(form) => save(String(form.get("description")))}
    >
      <label>
        Description
        <textarea name="description" rows={4} defaultValue={stage.description} autoFocus />
      </label>
    </FormDialog>
  );
}

interface DeleteProps extends StageProps {
  stages: Stage[];
  remove: Save<[servicesTo: string | null]>;
}

export function DeleteStageDialog({ stage, stages, remove, close }: DeleteProps) {
  const others = stages.filter(({ id }) => id !== stage.id);
  const isEmpty = stage.services.length === 0;
  return (
    <FormDialog
      title={`Delete stage ${stage.name}?`}
      action="Delete"
      isDangerous
      close={close}
      submit={(form) => remove(isEmpty ? null : String(form.get("to")))}
    >
      {isEmpty ? (
        <p>It has no services. The history keeps it, and Undo brings it back.</p>
      ) : (
        <label>
          {stage.services.length === 1 ? "Move its service to" : `Move its ${stage.services.length} services to`}
          <select name="to" autoFocus>
            {others.map(({ id, position, name }) => (
              <option key={id} value={id}>
                {position} · {name}
              </option>
            ))}
          </select>
        </label>
      )}
    </FormDialog>
  );
}

export interface NewService {
  name: string;
  type: "DATABASE" | "JOB" | "CONTAINER" | "APPLICATION";
  stage: string;
  spec: { image?: string; runCommand?: string; workingDirectory?: string; ports: number[] };
}

interface ServiceProps extends StageProps {
  stages: Stage[];
  save: Save<[service: NewService]>;
}

export function ServiceDialog({ stage, stages, save, close }: ServiceProps) {
  const [source, setSource] = useState("command");

  function read(form: FormData): NewService {
    const text = (name: string) => String(form.get(name) ?? "").trim();
    const ports = text("ports").split(/[\s,]+/).filter(Boolean).map(Number);
    return {
      name: text("name"),
      type: text("type") as NewService["type"],
      stage: text("stage"),
      spec:
        source === "image"
          ? { image: text("image"), ports }
          : { runCommand: text("run"), ...(text("directory") && { workingDirectory: text("directory") }), ports },
    };
  }

  return (
    <FormDialog title="New service" action="Add" close={close} submit={(form) => save(read(form))}>
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
      <label>
        Source
        <select value={source} onChange={(event) => setSource(event.target.value)}>
          <option value="command">a command</option>
          <option value="image">a container image</option>
        </select>
      </label>
      {source === "image" ? (
        <label>
          Image
          <input name="image" required autoComplete="off" placeholder="redis:8" />
        </label>
      ) : (
        <>
          <label>
            Command
            <input name="run" required autoComplete="off" placeholder="exec ./server --port $PORT" />
          </label>
          <label>
            Directory on the server
            <input name="directory" autoComplete="off" />
          </label>
        </>
      )}
      <label>
        Ports
        <input name="ports" inputMode="numeric" pattern="[0-9, ]*" autoComplete="off" placeholder="0 asks for a free one" />
      </label>
      <p className="soft">
        Builds, variables, health checks and timeouts are set with <code>stageline service edit</code>.
      </p>
    </FormDialog>
  );
}

/** Somebody changed the same: both sides, and the choice. */
export function ConflictDialog({ conflict, close }: { conflict: Conflict; close: () => void }) {
  const { own, refusal, insist } = conflict;
  return (
    <Dialog title="Somebody changed this meanwhile" close={close}>
      <div className="body">
        <div className="sides">
          <section>
            <h3>Theirs</h3>
            <ul>
              {refusal.events.map(({ id, actor, message }) => (
                <li key={id}>
                  <bdi>{actor.name ?? actor.id}</bdi>: <bdi>{message}</bdi>
                </li>
              ))}
            </ul>
          </section>
          <section>
            <h3>Yours</h3>
            <p>
              <bdi>{own}</bdi>
            </p>
          </section>
        </div>
        <p className="soft">Your change was not made. Nothing was overwritten.</p>
        <div className="actions">
          <button
            onClick={() => {
              close();
              insist();
            }}
          >
            Make mine, too
          </button>
          <button className="primary" autoFocus onClick={close}>
            Keep theirs
          </button>
        </div>
      </div>
    </Dialog>
  );
}
