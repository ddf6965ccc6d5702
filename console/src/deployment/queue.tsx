import { useEffect, useMemo, useRef } from "react";
import { Link } from "wouter";

import { useApi, useNewest, useQuery } from "../api/context";
import { Status } from "../parts/status";
import { Took } from "./clock";
import { QUEUE, WAIT, WAIT_EVENTS } from "./documents";

interface Props {
  environment: string;
  deployment: string;
  isQueued: boolean;
}

/** The open deployments of an environment in order, and what this one waits for. */
export function Queue({ environment, deployment, isQueued }: Props) {
  const { data } = useNewest(QUEUE, { environment });
  const queue = data?.deployments.nodes[0]?.environment.queue ?? [];
  if (queue.length < 2 && !isQueued) return null;
  return (
    <section className="queue" aria-label="Queue">
      {isQueued && <Wait environment={environment} deployment={deployment} />}
      <ol>
        {queue.map(({ id, number, status, requestedBy }) => (
          <li key={id} aria-current={id === deployment || undefined}>
            <Status status={status} isIconOnly />
            {id === deployment ? <strong>#{number}</strong> : <Link href={`/deployments/${id}`}>#{number}</Link>}
            <bdi className="soft">{requestedBy.name ?? requestedBy.id}</bdi>
          </li>
        ))}
      </ol>
    </section>
  );
}

/** The reason why a deployment waits, read again after each event that may change it. */
function Wait({ environment, deployment }: { environment: string; deployment: string }) {
  const api = useApi();
  const [{ data }, again] = useQuery(WAIT, { deployment });
  const begin = useRef<string>(undefined);
  begin.current ??= data?.cursor;
  const isKnown = data !== undefined;

  useEffect(() => {
    if (!isKnown) return;
    return api.follow(
      WAIT_EVENTS,
      { environment, after: begin.current! },
      {
        next: ({ environmentEvents: event }) => {
          begin.current = event.cursor;
          const isTaken = event.__typename === "DeploymentEvent" && event.deploymentEventType === "DEPLOYMENT_TAKEN_UP";
          const isWait = event.__typename === "DeploymentEvent" && event.waitReason !== null;
          if (event.__typename === "QueueEvent" || isTaken || isWait) again();
        },
      },
    );
  }, [api, environment, isKnown, again]);

  const wait = data?.deployment?.waitsFor;
  const since = useMemo(() => new Date(Date.now() - 1_000 * (wait?.silentSeconds ?? 0)).toISOString(), [wait]);
  if (!wait) return <p>It waits for its turn.</p>;
  const words = wait.message.replace(/ for \d+ s$/, " for "); // the time goes on here
  return (
    <p>
      It waits: {words}
      {words !== wait.message && <Took from={since} to={null} />}
    </p>
  );
}
