import { useId } from "react";

import { RoleButton } from "../parts/button";

export interface Variable {
  name: string;
  value: string;
}

interface Props {
  title: string;
  variables: readonly Variable[];
  /** Return what else there is to say of the variable with that name, or null. */
  note: (name: string) => string | null;
  add: () => void;
  edit: (variable: Variable) => void;
  remove: (variable: Variable) => void;
}

/** The variables of one owner, by name. */
export function VariableList({ title, variables, note, add, edit, remove }: Props) {
  const heading = useId();
  return (
    <section aria-labelledby={heading}>
      <header>
        <h2 id={heading}>
          <bdi>{title}</bdi>
        </h2>
        <RoleButton needs="EDITOR" onClick={add}>
          New variable
        </RoleButton>
      </header>
      {variables.length === 0 && <p className="soft none">There are none.</p>}
      <ul>
        {variables.map((variable) => (
          <li key={variable.name}>
            <span className="what">
              <code className="name">{variable.name}</code>
              {note(variable.name) && <small className="soft">{note(variable.name)}</small>}
            </span>
            {variable.value === "" ? <span className="soft">empty</span> : <code className="value">{variable.value}</code>}
            <span className="own">
              <RoleButton needs="EDITOR" aria-label={`Edit ${variable.name}`} onClick={() => edit(variable)}>
                Edit
              </RoleButton>
              <RoleButton
                needs="EDITOR"
                className="dangerous"
                aria-label={`Delete ${variable.name}`}
                onClick={() => remove(variable)}
              >
                Delete
              </RoleButton>
            </span>
          </li>
        ))}
      </ul>
    </section>
  );
}
