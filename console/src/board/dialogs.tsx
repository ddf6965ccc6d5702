import { Dialog, FormDialog } from "../parts/dialog";
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
          <button className="primary" data-first onClick={close}>
            Keep theirs
          </button>
        </div>
      </div>
    </Dialog>
  );
}
