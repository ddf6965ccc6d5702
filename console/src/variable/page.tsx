import { useState } from "react";

import { useApi, useNewest } from "../api/context";
import { newKey } from "../api/key";
import { useCommands } from "../command/commands";
import { Failed, Loading } from "../parts/states";
import { PlaceProvider } from "../session/rights";
import { DeleteDialog, SetDialog } from "./dialogs";
import { DELETE_OWN, DELETE_SHARED, OWN, SET_OWN, SET_SHARED, SHARED } from "./documents";
import { VariableList, type Variable } from "./list";
import "./page.css";

interface Props {
  environment: string;
  project: { id: string; name: string };
}

type Owner = "environment" | "project";

/** The dialog that is open: for a new variable, for the value of one, or for its end. */
type Open = { dialog: "set"; owner: Owner; variable: Variable | null } | { dialog: "delete"; owner: Owner; variable: Variable };

/** The variables of an environment and those of its project, live. */
export function Variables({ environment, project }: Props) {
  const api = useApi();
  const own = useNewest(OWN, { environment });
  const shared = useNewest(SHARED, { project: project.id });
  const [open, setOpen] = useState<Open | null>(null);
  const [since, setSince] = useState<number | null>(null); // what was changed after it is a conflict
  const version = own.data?.pipeline.version ?? null;
  useCommands(() => [
    {
      label: "New variable …",
      group: "Variables",
      key: "n",
      needs: "EDITOR",
      run: () => begin({ dialog: "set", owner: "environment", variable: null }),
    },
  ]);

  function begin(next: Open) {
    setSince(version);
    setOpen(next);
  }

  async function set(owner: Owner, name: string, value: string): Promise<string | null> {
    const { answer } =
      owner === "environment"
        ? await api.mutate(SET_OWN, { environment, name, value, since, key: newKey() })
        : await api.mutate(SET_SHARED, { project: project.id, name, value, key: newKey() });
    return answer.__typename === "Refusal" ? answer.message : null;
  }

  async function remove(owner: Owner, name: string): Promise<string | null> {
    const { answer } =
      owner === "environment"
        ? await api.mutate(DELETE_OWN, { environment, name, since, key: newKey() })
        : await api.mutate(DELETE_SHARED, { project: project.id, name, key: newKey() });
    return answer.__typename === "Refusal" ? answer.message : null;
  }

  const failed = own.state === "failed" ? own : shared.state === "failed" ? shared : null;
  if (failed) return <Failed message={failed.message} />;
  if (!own.data || !shared.data) return <Loading what="the variables" />;
  const ofEnvironment = own.data.pipeline.environment.variables;
  const ofProject = shared.data.project.variables;
  const lists = [
    { owner: "environment", title: "This environment", variables: ofEnvironment, others: ofProject, word: "replaces that of the project" },
    { owner: "project", title: `All environments of ${project.name}`, variables: ofProject, others: ofEnvironment, word: "replaced here" },
  ] as const;
  return (
    <div className="list variables">
      <header>
        <h1>Variables</h1>
      </header>
      <p className="soft">
        Services have them in the environment of their commands, below their own, and refer to them as{" "}
        <code>{"${{ variables.NAME }}"}</code>. The next deployment uses a change. Everyone who reads the pipeline can read
        the values.
      </p>
      {lists.map(({ owner, title, variables, others, word }) => (
        <PlaceProvider key={owner} project={project.id} environment={owner === "environment" ? environment : undefined}>
          <VariableList
            title={title}
            variables={variables}
            note={(name) => (others.some((each) => each.name === name) ? word : null)}
            add={() => begin({ dialog: "set", owner, variable: null })}
            edit={(variable) => begin({ dialog: "set", owner, variable })}
            remove={(variable) => begin({ dialog: "delete", owner, variable })}
          />
        </PlaceProvider>
      ))}
      {open?.dialog === "set" && (
        <SetDialog
          variable={open.variable}
          taken={(open.owner === "environment" ? ofEnvironment : ofProject).map(({ name }) => name)}
          save={(name, value) => set(open.owner, name, value)}
          close={() => setOpen(null)}
        />
      )}
      {open?.dialog === "delete" && (
        <DeleteDialog
          name={open.variable.name}
          isReplaced={open.owner === "environment" && ofProject.some(({ name }) => name === open.variable.name)}
          remove={() => remove(open.owner, open.variable.name)}
          close={() => setOpen(null)}
        />
      )}
    </div>
  );
}
