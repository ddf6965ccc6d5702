/** Fields of forms that several dialogs have. */
import { useId } from "react";

export function Choice({ name, label, isChosen }: { name: string; label: string; isChosen: boolean | undefined }) {
  const id = useId();
  return (
    <div className="choice">
      <input id={id} name={name} type="checkbox" defaultChecked={isChosen ?? false} />
      <label htmlFor={id}>{label}</label>
    </div>
  );
}

/** The reason of a change; `reasonOf` reads it. */
export function Reason() {
  return (
    <label>
      Reason (optional)
      <input name="reason" autoComplete="off" maxLength={1000} />
    </label>
  );
}

/** Return the reason that *form* has, or null. */
export function reasonOf(form: FormData): string | null {
  return String(form.get("reason")).trim() || null;
}
