import { useId, useState } from "react";

import { useApi, useNewest } from "../api/context";
import { newKey } from "../api/key";
import type { ResultOf } from "../graphql";
import { Ago } from "../parts/ago";
import { RoleButton } from "../parts/button";
import { Failed, Loading } from "../parts/states";
import { PlaceProvider } from "../session/rights";
import { DeleteDialog, SetDialog } from "./dialogs";
import { DELETE_OWN, DELETE_SHARED, OWN, SET_OWN, SET_SHARED, SHARED } from "./documents";
import "./section.css";

interface Props {
  environment: string;
  project: { id: string; name: string };
}

type Owner = "environment" | "project";
type Secret = ResultOf<typeof SHARED>["project"]["secrets"][number];

/** The dialog that is open: for a value, of a new secret if it has no name, or for the end of a secret. */
type Open = { dialog: "set"; owner: Owner; name: string | null } | { dialog: "delete"; owner: Owner; name: string };

/** The secrets of an environment and those of its project, live and without their values. */
export function Secrets({ environment, project }: Props) {
  const api = useApi();
  const own = useNewest(OWN, { environment });
  const shared = useNewest(SHARED, { project: project.id });
  const [open, setOpen] = useState<Open | null>(null);

  async function set(owner: Owner, name: string, value: string): Promise<string | null> {
    const key = newKey();
    const { answer } =
      owner === "environment"
        ? await api.mutate(SET_OWN, { environment, name, value, key })
        : await api.mutate(SET_SHARED, { project: project.id, name, value, key });
    return answer.__typename === "Refusal" ? answer.message : null;
  }

  async function remove(owner: Owner, name: string): Promise<string | null> {
    const key = newKey();
    const { answer } =
      owner === "environment"
        ? await api.mutate(DELETE_OWN, { environment, name, key })
        : await api.mutate(DELETE_SHARED, { project: project.id, name, key });
    return answer.__typename === "Refusal" ? answer.message : null;
  }

  const failed = own.state === "failed" ? own : shared.state === "failed" ? shared : null;
  if (failed) return <Failed message={failed.message} />;
  if (!own.data || !shared.data) return <Loading what="the secrets" />;
  const lists = [
    { owner: "environment", title: "Secrets of the environment", secrets: own.data.pipeline.environment.secrets },
    { owner: "project", title: `Secrets of project ${project.name}`, secrets: shared.data.project.secrets },
  ] as const;
  return (
    <div className="list variables secrets">
      <header>
        <h1>Secrets</h1>
      </header>
      <p className="soft">
        Services refer to them as <code>{"${{ secrets.NAME }}"}</code>. Values are sealed, masked in the output of steps, and
        shown nowhere.
      </p>
      {lists.map(({ owner, title, secrets }) => (
        <PlaceProvider key={owner} project={project.id} environment={owner === "environment" ? environment : undefined}>
          <SecretList
            title={title}
            secrets={secrets}
            add={() => setOpen({ dialog: "set", owner, name: null })}
            edit={(name) => setOpen({ dialog: "set", owner, name })}
            remove={(name) => setOpen({ dialog: "delete", owner, name })}
          />
        </PlaceProvider>
      ))}
      {open?.dialog === "set" && (
        <SetDialog name={open.name} save={(name, value) => set(open.owner, name, value)} close={() => setOpen(null)} />
      )}
      {open?.dialog === "delete" && (
        <DeleteDialog name={open.name} remove={() => remove(open.owner, open.name)} close={() => setOpen(null)} />
      )}
    </div>
  );
}

interface ListProps {
  title: string;
  secrets: readonly Secret[];
  add: () => void;
  edit: (name: string) => void;
  remove: (name: string) => void;
}

/** The secrets of one owner, by name. */
function SecretList({ title, secrets, add, edit, remove }: ListProps) {
  const heading = useId();
  return (
    <section aria-labelledby={heading}>
      <header>
        <h2 id={heading}>
          <bdi>{title}</bdi>
        </h2>
        <RoleButton needs="EDITOR" onClick={add}>
          New secret
        </RoleButton>
      </header>
      {secrets.length === 0 && <p className="soft none">There are none.</p>}
      <ul>
        {secrets.map(({ name, setAt, setBy }) => (
          <li key={name}>
            <code className="name">{name}</code>
            <span className="soft">
              set <Ago time={setAt} /> by <bdi>{setBy.name ?? setBy.id}</bdi>
            </span>
            <span className="own">
              <RoleButton needs="EDITOR" aria-label={`New value of ${name}`} onClick={() => edit(name)}>
                New value
              </RoleButton>
              <RoleButton needs="EDITOR" className="dangerous" aria-label={`Delete ${name}`} onClick={() => remove(name)}>
                Delete
              </RoleButton>
            </span>
          </li>
        ))}
      </ul>
    </section>
  );
}
