/** The attempts of a deployment as bars of its timeline. */
import type { Stage } from "./state";

export interface Bar {
  /** Id of the service in the pipeline. */
  service: string;
  name: string;
  phase: "build" | "deploy";
  attempt: number;
  status: string;
  /** Times in milliseconds; *to* is infinite while the attempt runs. */
  from: number;
  to: number;
}

/** Return the attempts of a stage's services that have started. */
export function bars(stage: Stage): Bar[] {
  return stage.services.flatMap(({ serviceId, name, build, deploy }) =>
    ([["build", build], ["deploy", deploy]] as const).flatMap(([phase, step]) =>
      step.attempts
        .filter(({ startedAt, status }) => startedAt !== null && status !== "SKIPPED")
        .map(({ attempt, status, startedAt, finishedAt }) => ({
          service: serviceId,
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
