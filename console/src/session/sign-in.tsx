import { useState, type FormEvent } from "react";

import { signIn } from "./session";
import "./sign-in.css";

/** The page that asks for a token; *why* says what ended the last session. */
export function SignIn({ why }: { why: string }) {
  const [refusal, setRefusal] = useState(why);
  const [isBusy, setBusy] = useState(false);

  async function submit(event: FormEvent<HTMLFormElement>) {
    event.preventDefault();
    const field = event.currentTarget.elements.namedItem("token") as HTMLInputElement;
    setBusy(true);
    const refused = await signIn(field.value);
    if (refused === null) return;
    setRefusal(refused);
    setBusy(false);
    field.focus();
  }

  return (
    <main className="sign-in">
      <form onSubmit={(event) => void submit(event)}>
        <h1>Stageline</h1>
        <p>See the order of your deployments, change it by hand, watch it run.</p>
        <label>
          Access token
          <input name="token" type="password" autoComplete="off" spellCheck={false} required autoFocus />
        </label>
        <p role="alert" className="refusal">
          {refusal}
        </p>
        <button className="primary" disabled={isBusy}>
          {isBusy ? "Signing in …" : "Sign in"}
        </button>
        <p className="hint">
          <code>stageline auth link</code> prints a link that signs in. <code>stageline auth token --print</code> prints your
          token. <code>stageline token create NAME</code> creates
          one for somebody else.
        </p>
      </form>
    </main>
  );
}
