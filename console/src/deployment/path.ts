/** The critical path of a deployment: the attempts, one after another, that its duration came from. */
import type { Stage } from "./page";

export interface Bar {
  /** Id of the service. */
  service: string;
  name: string;
  phase: "build" | "deploy";
  attempt: number;
  status: string;
  /** Times in milliseconds; *to* is infinite while the attempt runs. */
  from: number;
  to: number;
}

/** Time between the build and the deploy of a service that still counts as none, in milliseconds. */
const CLOSE = 50;

/** Return the attempts of a stage's services that have started. */
export function bars(stage: Stage): Bar[] {
  return stage.services.flatMap(({ id, name, build, deploy }) =>
    ([["build", build], ["deploy", deploy]] as const).flatMap(([phase, step]) =>
      step.attempts
        .filter(({ startedAt, status }) => startedAt !== null && status !== "SKIPPED")
        .map(({ attempt, status, startedAt, finishedAt }) => ({
          service: id,
          name,
          phase,
          attempt,
          status,
          from: Date.parse(startedAt!),
          to: finishedAt === null ? Infinity : Date.parse(finishedAt),
        })),
    ),
  );
}

/**
 * Return the attempts that the end of *all* came from, first to last: before each one, the one that ended last. A second
 * attempt follows the first one of its service.
 */
export function criticalPath(all: Bar[]): Bar[] {
  const sorted = [...all].sort((one, other) => one.to - other.to || other.from - one.from);
  const ofService = Map.groupBy(sorted, ({ service }) => service);
  const path: Bar[] = [];
  let current = sorted.at(-1);
  let at = sorted.length - 1;
  while (current) {
    path.unshift(current);
    const { from, service, attempt } = current;
    while (at >= 0 && sorted[at]!.to > from) at--;
    const before: Bar | undefined = sorted[at];
    const own = ofService.get(service)!.findLast(({ to }) => to <= from);
    current = before && own && (attempt > 1 || before.to - own.to <= CLOSE) ? own : before;
  }
  return path;
}
