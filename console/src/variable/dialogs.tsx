import { FormDialog } from "../parts/dialog";
import type { Variable } from "./list";

interface SetProps {
  /** The variable whose value is edited; null for a new one. */
  variable: Variable | null;
  /** The names that the owner has already. */
  taken: string[];
  save: (name: string, value: string) => Promise<string | null>;
  close: () => void;
}

export function SetDialog({ variable, taken, save, close }: SetProps) {
  async function submit(form: FormData): Promise<string | null> {
    const name = variable?.name ?? String(form.get("name")).trim();
    if (!variable && taken.includes(name)) return `There is a variable ${name} already. Edit that one.`;
    return save(name, String(form.get("value")).replaceAll("\r\n", "\n"));
  }

  return (
    <FormDialog title={variable ? `Edit ${variable.name}` : "New variable"} action="Save" close={close} submit={submit}>
      {!variable && (
        <label>
          Name
          <input name="name" required data-first autoComplete="off" spellCheck={false} placeholder="LOG_LEVEL" />
        </label>
      )}
      <label>
        Value
        <textarea
          name="value"
          rows={1}
          spellCheck={false}
          data-first={variable ? true : undefined}
          defaultValue={variable?.value}
        />
      </label>
    </FormDialog>
  );
}

interface DeleteProps {
  name: string;
  /** Whether the project has a variable with that name, too. */
  isReplaced: boolean;
  remove: () => Promise<string | null>;
  close: () => void;
}

export function DeleteDialog({ name, isReplaced, remove, close }: DeleteProps) {
  return (
    <FormDialog title={`Delete ${name}?`} action="Delete" isDangerous close={close} submit={remove}>
      <p>
        {isReplaced
          ? "The next deployment uses the value of the project."
          : "The next deployment does without it. It is refused as long as a service refers to the variable."}
      </p>
    </FormDialog>
  );
}
