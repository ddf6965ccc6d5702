import { useState } from "react";
import { useSearchParams } from "wouter";

import { useNewest } from "../api/context";
import { useCommands } from "../command/commands";
import { Ago } from "../parts/ago";
import { Failed, Loading } from "../parts/states";
import { Shell } from "../parts/shell";
import { grantWords } from "../role/words";
import { useViewer } from "../session/viewer";
import { CreateDialog, RevokeDialog, SecretDialog } from "./dialogs";
import { TOKENS } from "./documents";
import { issuedBy, type Token } from "./issued";
import "./page.css";

/** The tokens of the server: who may ask what it knows, and until when. */
export function TokenPage() {
  const loaded = useNewest(TOKENS, {});
  const viewer = useViewer();
  const [parameters, setParameters] = useSearchParams();
  const [isCreating, setCreating] = useState(false);
  const [secret, setSecret] = useState<string | null>(null);
  const [revoked, setRevoked] = useState<Token | null>(null);
  const isAll = parameters.has("all");
  const all = loaded.data?.tokens.nodes ?? [];
  const tokens = all.filter(({ isValid }) => isValid || isAll).reverse();
  const mayIssue = viewer?.canIssueTokens ?? false;
  const refusal = viewer && !mayIssue ? "This needs a role, and you have none." : undefined;
  useCommands(() =>
    mayIssue ? [{ label: "New token …", group: "Tokens", key: "n", run: () => setCreating(true) }] : [],
  );

  return (
    <Shell title="Tokens">
      <div className="list tokens">
        <header>
          <h1>Tokens</h1>
          <label className="check">
            <input
              type="checkbox"
              checked={isAll}
              onChange={(event) => setParameters(event.target.checked ? { all: "1" } : {}, { replace: true })}
            />
            also revoked and expired ones
          </label>
          <button className="primary" disabled={!mayIssue} title={refusal} onClick={() => setCreating(true)}>
            New token
          </button>
        </header>
        {loaded.state === "loading" && <Loading what="the tokens" />}
        {loaded.state === "failed" && <Failed message={loaded.message} />}
        {loaded.data?.tokens.pageInfo.hasNextPage && (
          <p className="soft">The first 500 tokens are listed. The command line lists all: stageline token list.</p>
        )}
        <ul aria-label="Tokens">
          {tokens.map((token) => (
            <Row
              key={token.id}
              token={token}
              mayRevoke={token.isValid || (token.revokedAt !== null && issuedBy(token, all).length > 0)}
              revoke={() => setRevoked(token)}
            />
          ))}
        </ul>
        {loaded.state === "loaded" && tokens.length === 0 && <p className="empty">There is no valid token.</p>}
      </div>
      {isCreating && viewer && <CreateDialog viewer={viewer} created={setSecret} close={() => setCreating(false)} />}
      {secret !== null && <SecretDialog secret={secret} close={() => setSecret(null)} />}
      {revoked && <RevokeDialog token={revoked} issued={issuedBy(revoked, all)} close={() => setRevoked(null)} />}
    </Shell>
  );
}

function Row({ token, mayRevoke, revoke }: { token: Token; mayRevoke: boolean; revoke: () => void }) {
  const { name, actor, issuedBy, issuedAt, expiresAt, revokedAt, revokedBy, isValid, follows, roles } = token;
  return (
    <li className={isValid ? undefined : "over"}>
      <span className="what">
        <strong>
          <bdi>{name}</bdi>
        </strong>
        <small className="soft">
          made <Ago time={issuedAt} />
          {issuedBy.id !== actor.id && (
            <>
              {" "}
              by <bdi>{issuedBy.name ?? issuedBy.id}</bdi>
            </>
          )}
        </small>
        <small className="soft">
          {roles.length === 0 ? "no roles" : <bdi>{roles.map(grantWords).join(", ")}</bdi>}
          {follows && (
            <>
              , at most those of <bdi>{follows.name ?? follows.id}</bdi>
            </>
          )}
        </small>
      </span>
      <bdi>{actor.name ?? actor.id}</bdi>
      <span className="until">
        {revokedAt ? (
          <>
            revoked <Ago time={revokedAt} />
            {revokedBy && (
              <>
                {" "}
                by <bdi>{revokedBy.name ?? revokedBy.id}</bdi>
              </>
            )}
          </>
        ) : expiresAt === null ? (
          "until it is revoked"
        ) : (
          <>
            {isValid ? "expires" : "expired"} <Ago time={expiresAt} />
          </>
        )}
      </span>
      {mayRevoke && (
        <button
          className="dangerous"
          aria-label={isValid ? `Revoke ${name}` : `Revoke the tokens that ${name} issued`}
          onClick={revoke}
        >
          {isValid ? "Revoke" : "Revoke issued"}
        </button>
      )}
    </li>
  );
}
