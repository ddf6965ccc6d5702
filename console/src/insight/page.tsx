import { useEffect, useMemo, useRef, type ReactNode } from "react";
import { useSearchParams } from "wouter";

import { useNewest, useQuery } from "../api/context";
import type { ResultOf } from "../graphql";
import { duration } from "../parts/format";
import { Failed, Loading } from "../parts/states";
import { useRights } from "../session/rights";
import { NEWEST } from "../trend/documents";
import { Chart } from "./chart";
import { INSIGHTS } from "./documents";
import "./page.css";

export type Insights = NonNullable<ResultOf<typeof INSIGHTS>["insights"]>;
type Spread = Insights["leadTime"];

/** Lengths of a window, in days. */
const WINDOWS = [7, 30, 90, 365];

/** A day, in milliseconds. */
const DAY = 86_400_000;

interface Props {
  environment: string;
  project: { id: string; name: string };
}

/** How often, how fast and how well the environment or its project is deployed. The window is in the address. */
export function InsightPage({ environment, project }: Props) {
  const [parameters, setParameters] = useSearchParams();
  const days = WINDOWS.find((each) => String(each) === parameters.get("days")) ?? 30;
  const isWhole = parameters.get("of") === "project";
  const since = useMemo(() => new Date(Date.now() - days * DAY).toISOString(), [days]);
  const place = isWhole ? { project: project.id } : { environment };
  const [loaded, again] = useQuery(INSIGHTS, { ...place, since });
  const refusal = useRights(useMemo(() => ({ project: project.id }), [project.id])).refusal("VIEWER");
  useEnd(environment, again);

  function choose(name: string, value: string) {
    setParameters({ ...Object.fromEntries(parameters), [name]: value }, { replace: true });
  }

  return (
    <div className="trends insights">
      <header>
        <h1>Insights</h1>
        <label>
          Window
          <select value={days} onChange={(event) => choose("days", event.target.value)}>
            {WINDOWS.map((each) => (
              <option key={each} value={each}>
                {each} days
              </option>
            ))}
          </select>
        </label>
        <label>
          Of
          <select value={isWhole ? "project" : "environment"} onChange={(event) => choose("of", event.target.value)}>
            <option value="environment">this environment</option>
            <option value="project" disabled={refusal !== null} title={refusal ?? undefined}>
              all of {project.name}
            </option>
          </select>
        </label>
      </header>
      {loaded.state === "loading" && <Loading what="the insights" />}
      {loaded.state === "failed" && <Failed message={loaded.message} again={again} />}
      {loaded.data?.insights && <Figures insights={loaded.data.insights} days={days} />}
    </div>
  );
}

/** Call *again* when a deployment of the environment ends. */
function useEnd(environment: string, again: () => void) {
  const newest = useNewest(NEWEST, { environment }).data?.deployments.nodes[0];
  const end = newest?.finishedAt ?? null;
  const isFirst = useRef(true);
  useEffect(() => {
    if (end !== null && !isFirst.current) again();
    isFirst.current = newest === undefined;
  }, [end, newest === undefined, again]);
}

function Figures({ insights, days }: { insights: Insights; days: number }) {
  const { deploymentFrequency: frequency, changeFailureRate: failures, timeToRestore: restore, leadTime } = insights;
  const { deploymentTime, rollbacks, cancelled, unchanged, services } = insights;
  if (failures.changes + rollbacks + cancelled + unchanged === 0) {
    return <p className="empty">No deployment has ended in the last {days} days.</p>;
  }
  return (
    <>
      <dl>
        <Figure name="Deployment frequency" value={`${frequency.perDay.toFixed(2)} a day`}>
          {frequency.count} delivered
        </Figure>
        <Figure name="Lead time" value={middle(leadTime)}>
          {tail(leadTime)}
          {leadTime.count} {leadTime.count === 1 ? "revision" : "revisions"}
        </Figure>
        <Figure name="Change failure rate" value={failures.rate === null ? "–" : `${(100 * failures.rate).toFixed(1)} %`}>
          {failures.failed} failed, {failures.rolledBack} rolled back, of {failures.changes}
        </Figure>
        <Figure name="Time to restore" value={middle(restore.restored)}>
          {tail(restore.restored)}
          {restore.restored.count} restored{restore.unrestored > 0 && `, ${restore.unrestored} still broken`}
        </Figure>
        <Figure name="Duration" value={middle(deploymentTime)}>
          {tail(deploymentTime)}
          {rollbacks} rollbacks, {cancelled} cancelled, {unchanged} unchanged
        </Figure>
      </dl>
      <section className="whole">
        <h2>Changes by day</h2>
        <p className="soft legend">
          <i className="succeeded" /> delivered <i className="failed" /> failed or rolled back
        </p>
        <Chart insights={insights} />
        <details>
          <summary>As a table</summary>
          <table>
            <thead>
              <tr>
                <th scope="col">Day (UTC)</th>
                <th scope="col">Delivered</th>
                <th scope="col">Failed or rolled back</th>
              </tr>
            </thead>
            <tbody>
              {insights.days.map(({ date, delivered, failed }) => (
                <tr key={date}>
                  <th scope="row">{date}</th>
                  <td>{delivered}</td>
                  <td>{failed}</td>
                </tr>
              ))}
            </tbody>
          </table>
        </details>
      </section>
      <h2>Services, flaky ones first</h2>
      <Services services={services} />
    </>
  );
}

function Figure({ name, value, children }: { name: string; value: string; children: ReactNode }) {
  return (
    <div>
      <dt>{name}</dt>
      <dd>
        <strong>{value}</strong>
        <small className="soft">{children}</small>
      </dd>
    </div>
  );
}

function Services({ services }: { services: Insights["services"] }) {
  if (services.nodes.length === 0) return <p className="empty">No step of a service has ended.</p>;
  return (
    <div className="wide" tabIndex={0} role="region" aria-label="Services">
      <table>
        <thead>
          <tr>
            {["Service", "Step", "Runs", "Failed", "Flaky", "Median", "95 % within"].map((name) => (
              <th key={name} scope="col">
                {name}
              </th>
            ))}
          </tr>
        </thead>
        <tbody>
          {services.nodes.flatMap(({ service, steps }) =>
            steps.map(({ phase, runs, failed, flaky, time }) => (
              <tr key={`${service.serviceId} ${phase}`}>
                <th scope="row">
                  <bdi>{service.name}</bdi>
                </th>
                <td>{phase.toLowerCase()}</td>
                <td>{runs}</td>
                <td className={failed > 0 ? "bad" : undefined}>{failed}</td>
                <td className={flaky > 0 ? "bad" : undefined}>{flaky}</td>
                <td>{seconds(time.medianSeconds)}</td>
                <td>{seconds(time.p95Seconds)}</td>
              </tr>
            )),
          )}
        </tbody>
      </table>
      {(services.totalCount ?? 0) > services.nodes.length && (
        <p className="soft">The first {services.nodes.length} services are listed.</p>
      )}
    </div>
  );
}

function seconds(value: number | null): string {
  return value === null ? "–" : duration(1_000 * value);
}

function middle(spread: Spread): string {
  return seconds(spread.medianSeconds);
}

function tail(spread: Spread): string {
  return spread.p95Seconds === null ? "" : `95 % within ${seconds(spread.p95Seconds)}, `;
}
