import { useState } from "react";

import { BASE } from "../base";
import type { Actor, Offer } from "./session";
import "./sign-in.css";

/** The page that asks before a link signs in: its server, and its actor, who may be somebody else. */
export function OfferPage({ actor, present, accept, decline }: Offer) {
  const [isBusy, setBusy] = useState(false);

  async function go() {
    setBusy(true);
    await accept();
  }

  return (
    <main className="sign-in">
      <form
        onSubmit={(event) => {
          event.preventDefault();
          void go();
        }}
      >
        <h1>Stageline</h1>
        <p>
          A link signs you in to{" "}
          <strong>
            {location.host}
            {BASE}
          </strong>{" "}
          as <Person actor={actor} />.
        </p>
        {present && (
          <p>
            You are signed in as <Person actor={present} />.
          </p>
        )}
        <p className="hint">What you do there is done in that name. Go on only if you made this link, or asked for it.</p>
        <button className="primary" disabled={isBusy} autoFocus={!present}>
          Sign in as <bdi>{nameOf(actor)}</bdi>
        </button>
        <button type="button" autoFocus={present !== null} onClick={decline}>
          {present ? (
            <>
              Stay signed in as <bdi>{nameOf(present)}</bdi>
            </>
          ) : (
            "Do not sign in"
          )}
        </button>
      </form>
    </main>
  );
}

function nameOf({ id, name }: Actor): string {
  return name ?? id;
}

function Person({ actor }: { actor: Actor }) {
  return (
    <>
      <strong>
        <bdi>{nameOf(actor)}</bdi>
      </strong>
      {actor.name !== null && (
        <>
          {" "}
          (<bdi>{actor.id}</bdi>)
        </>
      )}
    </>
  );
}
