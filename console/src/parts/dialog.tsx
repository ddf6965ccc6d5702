import { useEffect, useId, useRef, useState, type FormEvent, type ReactNode } from "react";
import { createPortal } from "react-dom";

import { message } from "../api/client";
import "./dialog.css";

interface Props {
  title: string;
  className?: string;
  close: () => void;
  children: ReactNode;
}

/**
 * A modal dialog; the browser keeps the focus in it, and gives it back.
 *
 * It stands beside the page, so that the page's styles do not reach it.
 */
export function Dialog({ title, className, close, children }: Props) {
  const element = useRef<HTMLDialogElement>(null);
  const heading = useId();
  useEffect(() => {
    const dialog = element.current!;
    const before = document.activeElement;
    dialog.showModal();
    dialog.querySelector<HTMLElement>("[data-first]")?.focus(); // React's autoFocus comes before the dialog is open
    return () => {
      dialog.close();
      if (before instanceof HTMLElement && before.isConnected) before.focus();
    };
  }, []);
  return createPortal(
    <dialog
      ref={element}
      className={className}
      aria-labelledby={heading}
      onCancel={(event) => {
        event.preventDefault();
        close();
      }}
    >
      <h2 id={heading}>{title}</h2>
      {children}
    </dialog>,
    document.body,
  );
}

interface FormProps extends Props {
  action: string;
  /** The text of the button that closes it. */
  back?: string;
  isDangerous?: boolean;
  isDisabled?: boolean;
  /** Return why it was refused, or null. */
  submit: (form: FormData) => Promise<string | null>;
}

/** A dialog with a form, which stays open until the server accepts it. */
export function FormDialog(props: FormProps) {
  const { title, action, back = "Cancel", isDangerous = false, isDisabled = false, submit, className, close, children } = props;
  const [refusal, setRefusal] = useState("");
  const [isBusy, setBusy] = useState(false);

  async function send(event: FormEvent<HTMLFormElement>) {
    event.preventDefault();
    setBusy(true);
    const refused = await submit(new FormData(event.currentTarget)).catch(message);
    if (refused === null) return close();
    setRefusal(refused);
    setBusy(false);
  }

  return (
    <Dialog title={title} className={className} close={close}>
      <form onSubmit={(event) => void send(event)}>
        {children}
        <p role="alert" className="refusal">
          {refusal}
        </p>
        <div className="actions">
          <button type="button" onClick={close}>
            {back}
          </button>
          <button className={isDangerous ? "dangerous" : "primary"} disabled={isBusy || isDisabled}>
            {action}
          </button>
        </div>
      </form>
    </Dialog>
  );
}

interface NameProps {
  title: string;
  action: string;
  save: (name: string) => Promise<string | null>;
  close: () => void;
}

export function NameDialog({ title, action, save, close }: NameProps) {
  return (
    <FormDialog title={title} action={action} close={close} submit={(form) => save(String(form.get("name")))}>
      <label>
        Name
        <input name="name" required autoFocus autoComplete="off" />
      </label>
    </FormDialog>
  );
}
