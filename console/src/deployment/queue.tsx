import { useEffect } from "react";
import { Link } from "wouter";

import { useNewest, useQuery } from "../api/context";
import { Status } from "../parts/status";
import { QUEUE, WAIT } from "./documents";

/** Time after which a wait is read again, in milliseconds: its words have the time that a worker has been silent. */
const PAUSE = 5_000;

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
      {isQueued && <Wait deployment={deployment} />}
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

function Wait({ deployment }: { deployment: string }) {
  const [{ data }, again] = useQuery(WAIT, { deployment });
  useEffect(() => {
    const timer = setInterval(again, PAUSE);
    return () => clearInterval(timer);
  }, [again]);
  const wait = data?.deployment?.waitsFor;
  return <p>{wait ? `It waits: ${wait.message}` : "It waits for its turn."}</p>;
}
