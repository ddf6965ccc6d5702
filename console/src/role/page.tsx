import { useState } from "react";

import { useApi, useQuery } from "../api/context";
import { newKey } from "../api/key";
import { useCommands } from "../command/commands";
import type { ResultOf } from "../graphql";
import { FormDialog } from "../parts/dialog";
import { Failed, Loading } from "../parts/states";
import { Shell } from "../parts/shell";
import { narrowest, PlaceFields, placeOf } from "../place/fields";
import { ROLES as ORDER, type Role } from "../session/rights";
import { useViewer } from "../session/viewer";
import { GRANT, REVOKE, ROLES } from "./documents";
import { grantWords, placeWords } from "./words";
import "./page.css";

type Holder = NonNullable<ResultOf<typeof ROLES>["roles"]>["nodes"][number];
type Grant = Holder["roles"][number];

/** The roles of people and programs, at the places that the viewer administers. */
export function RolePage() {
  const viewer = useViewer();
  const [loaded, again] = useQuery(ROLES, {});
  const [isGranting, setGranting] = useState(false);
  const [revoked, setRevoked] = useState<{ holder: Holder; grant: Grant } | null>(null);
  const isAdmin = viewer?.roles.some(({ role }) => role === "ADMIN") ?? false;
  const refusal = viewer && !isAdmin ? "This needs the role admin of a project or an environment, and you have none." : undefined;
  const holders = loaded.data?.roles?.nodes ?? [];
  useCommands(() =>
    isAdmin ? [{ label: "Grant a role …", group: "Roles", key: "n", run: () => setGranting(true) }] : [],
  );

  return (
    <Shell title="Roles">
      <div className="list roles">
        <header>
          <h1>Roles</h1>
          <button onClick={again}>Refresh</button>
          <button className="primary" disabled={!isAdmin} title={refusal} onClick={() => setGranting(true)}>
            Grant a role
          </button>
        </header>
        {refusal && <Own />}
        {!refusal && loaded.state === "loading" && <Loading what="the roles" />}
        {!refusal && loaded.state === "failed" && <Failed message={loaded.message} again={again} />}
        {loaded.data?.roles?.pageInfo.hasNextPage && (
          <p className="soft">The first 500 are listed. The command line lists all: stageline role list.</p>
        )}
        <ul aria-label="Roles">
          {holders.flatMap((holder) =>
            holder.roles.map((grant) => (
              <li key={`${holder.actor.id} ${grant.projectId} ${grant.environmentId}`}>
                <strong>
                  <bdi>{holder.actor.name ?? holder.actor.id}</bdi>
                </strong>
                <span>{grant.role.toLowerCase()}</span>
                <bdi className="place">{placeWords(grant)}</bdi>
                <button
                  className="dangerous"
                  aria-label={`Revoke ${grantWords(grant)} from ${holder.actor.name ?? holder.actor.id}`}
                  onClick={() => setRevoked({ holder, grant })}
                >
                  Revoke
                </button>
              </li>
            )),
          )}
        </ul>
        {loaded.state === "loaded" && holders.length === 0 && <p className="empty">Nobody holds a role here.</p>}
      </div>
      {isGranting && <GrantDialog done={again} close={() => setGranting(false)} />}
      {revoked && <RevokeDialog {...revoked} done={again} close={() => setRevoked(null)} />}
    </Shell>
  );
}

/** What somebody who administers nothing may know: their own roles. */
function Own() {
  const viewer = useViewer();
  const roles = viewer?.roles.map(({ role }) => role.toLowerCase()) ?? [];
  return (
    <p className="empty">
      {roles.length === 0 ? "You have no role." : `You are ${[...new Set(roles)].join(", ")}.`} Only an admin of a project or an
      environment sees and grants the roles there.
    </p>
  );
}

interface Props {
  done: () => void;
  close: () => void;
}

function GrantDialog({ done, close }: Props) {
  const api = useApi();

  async function grant(form: FormData): Promise<string | null> {
    const given = { actor: String(form.get("actor")).trim(), role: form.get("role") as Role, ...narrowest(placeOf(form)) };
    const { grantRole } = await api.mutate(GRANT, { ...given, key: newKey() });
    if (grantRole.__typename === "Refusal") return grantRole.message;
    done();
    return null;
  }

  return (
    <FormDialog title="Grant a role" action="Grant" close={close} submit={grant}>
      <label>
        Actor
        <input name="actor" required autoFocus autoComplete="off" placeholder="ann" />
      </label>
      <label>
        Role
        <select name="role" defaultValue="VIEWER">
          {ORDER.map((role) => (
            <option key={role} value={role}>
              {role.toLowerCase()}
            </option>
          ))}
        </select>
      </label>
      <PlaceFields hasEverything />
      <p className="soft">It replaces another role of the actor at the same place.</p>
    </FormDialog>
  );
}

function RevokeDialog({ holder, grant, done, close }: Props & { holder: Holder; grant: Grant }) {
  const api = useApi();
  const [key] = useState(newKey);

  async function revoke(): Promise<string | null> {
    const { environmentId: environment } = grant;
    const project = environment === null ? grant.projectId : null;
    const { revokeRole } = await api.mutate(REVOKE, { actor: holder.actor.id, project, environment, key });
    if (revokeRole.__typename === "Refusal") return revokeRole.message;
    done();
    return null;
  }

  return (
    <FormDialog title={`Revoke ${grantWords(grant)}?`} action="Revoke" isDangerous close={close} submit={revoke}>
      <p>
        <bdi>{holder.actor.name ?? holder.actor.id}</bdi> loses it at once, with those of their tokens that follow them.
      </p>
    </FormDialog>
  );
}
