import { useEffect, useState } from "react";

import { message } from "../api/client";
import { useApi, useNewest } from "../api/context";
import type { ResultOf } from "../graphql";
import { duration } from "../parts/format";
import { Failed, Loading } from "../parts/states";
import { Chart } from "./chart";
import { NEWEST, TRENDS } from "./documents";
import { median, ofEnvironment, ofServices, type Deployment, type Point } from "./trend";
import "./page.css";

/** Number of deployments in the charts. */
const MOST = 50;

/** Number of services of all deployments that are read: a large environment shows fewer deployments. */
const SERVICES = 10_000;

/** Number of deployments in a request. */
const PAGE = 10;

/** How long the deployments of an environment and of each service took. */
export function Trends({ environment }: { environment: string }) {
  const api = useApi();
  const newest = useNewest(NEWEST, { environment }).data?.deployments.nodes[0];
  const end = newest && `${newest.id} ${newest.finishedAt ?? ""}`;
  const [deployments, setDeployments] = useState<Deployment[] | null>(null);
  const [failure, setFailure] = useState<string | null>(null);
  const [times, setTimes] = useState(0);

  useEffect(() => {
    let isOver = false;
    async function read() {
      const found: Deployment[] = [];
      let after: string | null = null;
      let services = 0;
      do {
        const answer: ResultOf<typeof TRENDS> = await api.query(TRENDS, { environment, first: PAGE, after });
        const page = answer.deployments;
        if (!page || isOver) return;
        found.push(...page.nodes);
        services += page.nodes.reduce((sum, { stages }) => sum + stages.flatMap((stage) => stage.services).length, 0);
        after = page.pageInfo.hasNextPage ? page.pageInfo.endCursor : null;
      } while (after !== null && found.length < MOST && services < SERVICES);
      setDeployments(found);
      setFailure(null);
    }
    read().catch((fault: unknown) => isOver || setFailure(message(fault)));
    return () => {
      isOver = true;
    };
  }, [api, environment, end, times]);

  if (failure !== null) return <Failed message={failure} again={() => setTimes((n) => n + 1)} />;
  if (deployments === null) return <Loading what="the trends" />;
  const points = ofEnvironment(deployments);
  if (points.length === 0) return <p className="empty">No deployment has ended yet.</p>;
  const places = points.map(({ deployment }) => deployment.id);
  return (
    <div className="trends">
      <h1>Trends</h1>
      <p className="soft legend">
        The last {points.length === 1 ? "deployment" : `${points.length} deployments`}, oldest first.{" "}
        {["succeeded", "failed", "cancelled", "median"].map((each) => (
          <span key={each}>
            <i className={each} /> {each}{" "}
          </span>
        ))}
      </p>
      <section className="whole">
        <h2>Deployments</h2>
        <Numbers points={points} />
        <Chart label="Deployments" points={points} places={places} />
      </section>
      <h2>Services</h2>
      <ul>
        {ofServices(deployments).map(({ id, name, points }) => (
          <li key={id}>
            <bdi title={name}>{name}</bdi>
            <Numbers points={points} />
            <Chart label={name} points={points} places={places} />
          </li>
        ))}
      </ul>
    </div>
  );
}

function Numbers({ points }: { points: Point[] }) {
  const last = points.at(-1)!.duration;
  return (
    <span className="numbers">
      last {duration(last)} <span className="soft">median {duration(median(points))}</span>
    </span>
  );
}
