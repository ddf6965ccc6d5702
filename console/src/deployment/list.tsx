import { Link } from "wouter";

import { useNewest } from "../api/context";
import { Ago } from "../parts/ago";
import { Failed, Loading } from "../parts/states";
import { Status } from "../parts/status";
import { Took } from "./clock";
import { DeployButton } from "./plan";
import { DEPLOYMENTS } from "./documents";
import "./list.css";

/** The newest deployments of an environment. */
export function Deployments({ environment }: { environment: string }) {
  const loaded = useNewest(DEPLOYMENTS, { environment });
  const deployments = loaded.data?.deployments.nodes;

  return (
    <div className="list deployments">
      <header>
        <h1>Deployments</h1>
        <DeployButton environment={environment} isEmpty={false} />
      </header>
      {loaded.state === "loading" && <Loading what="the deployments" />}
      {loaded.state === "failed" && <Failed message={loaded.message} />}
      {deployments?.length === 0 && <p className="empty">Nothing was deployed yet.</p>}
      <ul>
        {deployments?.map(({ id, number, status, requestedAt, startedAt, finishedAt, requestedBy, reason }) => (
          <li key={id}>
            <Link href={`/deployments/${id}`}>#{number}</Link>
            <Status status={status} />
            <span className="what">
              <bdi>{requestedBy.name ?? requestedBy.id}</bdi>
              {reason && (
                <>
                  : <bdi>{reason}</bdi>
                </>
              )}
            </span>
            <span className="soft duration">
              <Took from={startedAt} to={finishedAt} />
            </span>
            <Ago className="soft" time={requestedAt} />
          </li>
        ))}
      </ul>
    </div>
  );
}
