/** The progress of each service of the board: its last deployment, its step now, and its wait. */
import { useMemo, useRef } from "react";

import { useNewest } from "../api/context";
import { share } from "../api/share";
import { LATEST, PROGRESS } from "./documents";

export interface Progress {
  status: string;
  /** The last deployment that touched the service. */
  deployment: { id: string; number: number };
  /** The step that runs now, in words. */
  step: string | null;
  wait: string | null;
  /** Whether a deployment has stopped it. */
  isStopped: boolean;
}

const STEPS: Record<string, string> = { BUILD: "building", DEPLOY: "deploying", STOP: "stopping" };

const UNKNOWN = { step: null, wait: null, isStopped: false };

/** Return the progress by the id of the service, and the newest deployment. */
export function useProgress(environment: string) {
  const latest = useNewest(LATEST, { environment });
  const now = useNewest(PROGRESS, { environment });
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
    for (const { id, instance, lastStep, waitsFor } of stages.flatMap((stage) => stage.services)) {
      const each = found[id];
      if (!each) continue;
      const { phase, step } = lastStep ?? {};
      const attempt = step && step.attempt > 1 ? `, attempt ${step.attempt}` : "";
      if (phase && step?.status === "RUNNING") each.step = `${STEPS[phase]}${attempt}`;
      each.wait = waitsFor?.message ?? null;
      each.isStopped = instance?.status === "STOPPED";
    }
    last.current = share(last.current, found); // a card whose progress is alike is not drawn again
    return last.current;
  }, [latest.data, now.data]);

  return { progress, newest: latest.data?.deployments.nodes[0] };
}
