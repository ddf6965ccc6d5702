/** The progress of each service of the board: its last deployment, its step now, its wait, and its instance. */
import { useMemo, useRef } from "react";

import { useNewest } from "../api/context";
import { share } from "../api/share";
import { INSTANCES, LATEST, PROGRESS } from "./documents";

export interface Progress {
  status: string;
  /** The last deployment that touched the service. */
  deployment: { id: string; number: number };
  /** The step that runs now, in words. */
  step: string | null;
  wait: string | null;
  /** Whether a deployment has stopped it. */
  isStopped: boolean;
  /** The fault of its instance, in a word; null if it is healthy. */
  fault: string | null;
  /** Why, or how often it was started again since its deployment. */
  instance: string | null;
}

const STEPS: Record<string, string> = { BUILD: "building", DEPLOY: "deploying", STOP: "stopping" };

/** The statuses of instances that are not well, in words. */
const FAULTS: Record<string, string> = {
  UNHEALTHY: "unhealthy",
  RESTARTING: "restarting",
  EXITED: "exited",
  GIVEN_UP: "given up",
  LOST: "lost",
};

const UNKNOWN = { step: null, wait: null, isStopped: false, fault: null, instance: null };

/** Return the progress by the id of the service, and the newest deployment. */
export function useProgress(environment: string) {
  const latest = useNewest(LATEST, { environment });
  const now = useNewest(PROGRESS, { environment });
  const instances = useNewest(INSTANCES, { environment });
  const last = useRef<Record<string, Progress>>({});

  const progress = useMemo(() => {
    const found: Record<string, Progress> = {};
    for (const { id, number, stages } of [...(latest.data?.deployments.nodes ?? [])].reverse()) {
      const deployment = { id, number };
      for (const { serviceId, status } of stages.flatMap((stage) => stage.services)) {
        const isUntouched = status === "SKIPPED" || status === "CANCELLED";
        if (!isUntouched || !found[serviceId]) found[serviceId] = { ...UNKNOWN, status, deployment };
      }
    }
    const stages = now.data?.deployments.nodes[0]?.environment.pipeline.stages ?? [];
    for (const { id, lastStep, waitsFor } of stages.flatMap((stage) => stage.services)) {
      const each = found[id];
      if (!each) continue;
      const { phase, step } = lastStep ?? {};
      const attempt = step && step.attempt > 1 ? `, attempt ${step.attempt}` : "";
      if (phase && step?.status === "RUNNING") each.step = `${STEPS[phase]}${attempt}`;
      each.wait = waitsFor?.message ?? null;
    }
    for (const { id, instance } of instances.data?.instances ?? []) {
      const each = found[id];
      if (!each || !instance?.status) continue;
      each.isStopped = instance.status === "STOPPED";
      each.fault = FAULTS[instance.status] ?? null;
      each.instance = describe(instance);
    }
    last.current = share(last.current, found); // a card whose progress is alike is not drawn again
    return last.current;
  }, [latest.data, now.data, instances.data]);

  return { progress, newest: latest.data?.deployments.nodes[0] };
}

interface Instance {
  restarts: number;
  problem: string | null;
  lastExit: { code: number | null; signal: string | null } | null;
}

/** Return why an instance is not well, and how often it was started again; null if it never ended. */
function describe({ restarts, problem, lastExit }: Instance): string | null {
  const times = restarts === 1 ? "once" : `${restarts} times`;
  const how = lastExit?.signal ?? (lastExit?.code != null ? `exit code ${lastExit.code}` : null);
  const end = how && `ended with ${how}`;
  return [problem, end, restarts > 0 && `restarted ${times}`].filter(Boolean).join(", ") || null;
}
