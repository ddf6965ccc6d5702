/** What each service of the board does: its last deployment, its step now, and what it waits for. */
import { useMemo } from "react";

import { useNewest } from "../api/context";
import { LATEST, PROGRESS } from "./documents";

export interface Progress {
  status: string;
  /** The last deployment that touched the service. */
  deployment: { id: string; number: number };
  /** What it does now, in words. */
  step: string | null;
  wait: string | null;
}

const STEPS: Record<string, string> = { BUILD: "building", DEPLOY: "deploying" };

/** Return the progress by the id of the service, and the newest deployment. */
export function useProgress(environment: string) {
  const latest = useNewest(LATEST, { environment });
  const now = useNewest(PROGRESS, { environment });
  const known = useMemo(() => new Map<string, { key: string; progress: Progress }>(), [environment]);

  const progress = useMemo(() => {
    const found = new Map<string, Progress>();
    for (const { node } of [...(latest.data?.deployments.edges ?? [])].reverse()) {
      const deployment = { id: node.id, number: node.number };
      for (const { serviceId, status } of node.stages.flatMap((stage) => stage.services)) {
        const isUntouched = status === "SKIPPED" || status === "CANCELLED";
        if (!isUntouched || !found.has(serviceId)) found.set(serviceId, { status, deployment, step: null, wait: null });
      }
    }
    const stages = now.data?.deployments.nodes[0]?.environment.pipeline.stages ?? [];
    for (const { id, lastStep, waitsFor } of stages.flatMap((stage) => stage.services)) {
      const each = found.get(id);
      if (!each) continue;
      const { phase, step } = lastStep ?? {};
      const attempt = step && step.attempt > 1 ? `, attempt ${step.attempt}` : "";
      if (phase && step?.status === "RUNNING") each.step = `${STEPS[phase]}${attempt}`;
      each.wait = waitsFor?.message ?? null;
    }
    for (const [id, each] of found) { // an object that is alike stays the same, so that its card is not drawn again
      const key = JSON.stringify(each);
      const before = known.get(id);
      if (before?.key === key) found.set(id, before.progress);
      else known.set(id, { key, progress: each });
    }
    return found;
  }, [latest.data, now.data, known]);

  return { progress, newest: latest.data?.deployments.edges[0]?.node };
}
