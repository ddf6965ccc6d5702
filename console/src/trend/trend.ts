/** Durations over the last deployments: of an environment, and of each of its services. */
import type { ResultOf } from "../graphql";
import type { TRENDS } from "./documents";

export type Deployment = NonNullable<ResultOf<typeof TRENDS>["deployments"]>["nodes"][number];
type Service = Deployment["stages"][number]["services"][number];

export interface Point {
  deployment: { id: string; number: number };
  status: string;
  /** In milliseconds. */
  duration: number;
}

interface Trend {
  id: string;
  name: string;
  /** Oldest first. */
  points: Point[];
}

/** Return the trend of the environment, from its *deployments*, newest first. */
export function ofEnvironment(deployments: Deployment[]): Point[] {
  return deployments
    .flatMap(({ id, number, status, durationSeconds }) =>
      durationSeconds === null ? [] : [{ deployment: { id, number }, status, duration: 1_000 * durationSeconds }],
    )
    .reverse();
}

/** Return the trend of each service of the newest deployment, the slowest first. */
export function ofServices(deployments: Deployment[]): Trend[] {
  const trends = new Map<string, Trend>();
  for (const { id, number, stages } of deployments) {
    for (const service of stages.flatMap(({ services }) => services)) {
      const duration = durationOf(service);
      if (duration === null) continue;
      const trend = trends.get(service.serviceId) ?? { id: service.serviceId, name: service.name, points: [] };
      trends.set(service.serviceId, trend);
      trend.points.unshift({ deployment: { id, number }, status: service.status, duration });
    }
  }
  const newest = ({ points }: Trend) => points.at(-1)!.duration;
  return [...trends.values()].sort((one, other) => newest(other) - newest(one));
}

/** Return the time of all attempts of a service, without waits, in milliseconds; null if it did nothing. */
function durationOf({ build, deploy }: Service): number | null {
  const attempts = [...build.attempts, ...deploy.attempts].filter(
    ({ startedAt, finishedAt }) => startedAt !== null && finishedAt !== null,
  );
  if (attempts.length === 0) return null;
  return attempts.reduce((sum, each) => sum + Date.parse(each.finishedAt!) - Date.parse(each.startedAt!), 0);
}

/** Return the middle value. */
export function median(points: Point[]): number {
  const sorted = points.map(({ duration }) => duration).sort((one, other) => one - other);
  const half = Math.floor(sorted.length / 2);
  return sorted.length % 2 ? sorted[half]! : (sorted[half - 1]! + sorted[half]!) / 2;
}
