import { useEffect, useState, type FormEvent } from "react";

import { goTo, providers, type Provider } from "./provider";
import { signIn } from "./session";
import "./sign-in.css";

/** The page that asks for a token or an identity provider; *why* says what ended the last session. */
export function SignIn({ why }: { why: string }) {
  const [refusal, setRefusal] = useState(why);
  const [isBusy, setBusy] = useState(false);
  const [known, setKnown] = useState<Provider[] | null>(null);

  useEffect(() => {
    void providers().then(setKnown);
    const again = () => setBusy(false); // somebody came back from the provider without an answer
    addEventListener("pageshow", again);
    return () => removeEventListener("pageshow", again);
  }, []);

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

  async function leaveFor(provider: Provider) {
    setBusy(true);
    const refused = await goTo(provider);
    if (refused === null) return;
    setRefusal(refused);
    setBusy(false);
  }

  if (!known) return null;
  const hasProviders = known.length > 0;
  return (
    <main className="sign-in">
      <form onSubmit={(event) => void submit(event)}>
        <h1>Stageline</h1>
        <p>See the order of your deployments, change it by hand, watch it run.</p>
        <p role="alert" className="refusal">
          {refusal}
        </p>
        {known.map((provider, index) => (
          <button
            key={provider.issuer}
            type="button"
            className="primary"
            disabled={isBusy}
            autoFocus={index === 0}
            onClick={() => void leaveFor(provider)}
          >
            Sign in with <bdi>{provider.name}</bdi>
          </button>
        ))}
        {hasProviders && <p className="or">or</p>}
        <label>
          Access token
          <input name="token" type="password" autoComplete="off" spellCheck={false} required autoFocus={!hasProviders} />
        </label>
        <button className={hasProviders ? undefined : "primary"} disabled={isBusy}>
          {hasProviders ? "Sign in with the token" : "Sign in"}
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
