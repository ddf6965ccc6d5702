import { listed } from "../parts/format";
import type { Service, Stage } from "./state";

/** Return what follows for *service* if it moves to *target*: "Backend will deploy after Rabbitmq." */
export function consequence(stages: Stage[], service: Service, target: Stage): string {
  const active = (stage: Stage) => stage.services.filter(({ id, isSkipped }) => id !== service.id && !isSkipped);
  const before = stages.filter(({ position }) => position < target.position).findLast((stage) => active(stage).length);
  if (service.isSkipped) return `${service.name} is skipped.`;
  if (before) return `${service.name} will deploy after ${listed(active(before).map(({ name }) => name))}.`;
  const after = stages.find((stage) => stage.position > target.position && active(stage).length);
  if (after) return `${service.name} will deploy before ${listed(active(after).map(({ name }) => name))}.`;
  return `${service.name} will deploy first.`;
}
