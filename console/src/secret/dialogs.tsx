import { FormDialog } from "../parts/dialog";

interface SetProps {
  /** The name of the secret that gets a new value; null for a new one. */
  name: string | null;
  save: (name: string, value: string) => Promise<string | null>;
  close: () => void;
}

/** A dialog for a value, which it forgets when it closes. */
export function SetDialog({ name, save, close }: SetProps) {
  function submit(form: FormData): Promise<string | null> {
    return save(name ?? String(form.get("name")).trim(), String(form.get("value")).replaceAll("\r\n", "\n"));
  }

  return (
    <FormDialog title={name === null ? "New secret" : `New value of ${name}`} action="Save" close={close} submit={submit}>
      {name === null && (
        <label>
          Name
          <input name="name" required data-first autoComplete="off" spellCheck={false} placeholder="DB_PASSWORD" />
        </label>
      )}
      <label>
        Value
        <textarea
          name="value"
          className="masked"
          rows={1}
          required
          autoComplete="off"
          spellCheck={false}
          data-first={name === null ? undefined : true}
        />
      </label>
      <p className="soft">Nobody can show it again. The next deployment uses it.</p>
    </FormDialog>
  );
}

interface DeleteProps {
  name: string;
  remove: () => Promise<string | null>;
  close: () => void;
}

export function DeleteDialog({ name, remove, close }: DeleteProps) {
  return (
    <FormDialog title={`Delete ${name}?`} action="Delete" isDangerous close={close} submit={remove}>
      <p>Its value is destroyed for ever. This is refused while a service refers to it, or a deployment has not ended.</p>
    </FormDialog>
  );
}
