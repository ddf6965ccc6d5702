/** The consequence of a move, before the drop. */
import { listed } from "../parts/format";
import { withService, withStage, type Service, type Stage } from "./state";

/** A consequence in words; a move that breaks a reference is refused by the server. */
export interface Consequence {
  text: string;
  isRefused: boolean;
}

/** Return what follows if *service* moves to *target*: "Backend will deploy after Rabbitmq." */
export function serviceConsequence(stages: Stage[], service: Service, target: Stage): Consequence {
  const broken = breach(withService(stages, { service: service.id, stage: target.id }));
  if (broken) return { text: broken, isRefused: true };
  return { text: order(stages, service, target), isRefused: false };
}

/** Return what follows if *stage* moves to *position*. */
export function stageConsequence(stages: Stage[], stage: string, position: number): Consequence {
  const broken = breach(withStage(stages, { stage, position }));
  return broken ? { text: broken, isRefused: true } : { text: `It becomes stage ${position}.`, isRefused: false };
}

/** Return the first need that *stages* break, in words: a service must deploy before those that need it. */
function breach(stages: Stage[]): string | null {
  const deployed = new Set<string>();
  for (const { services } of stages) {
    for (const { name, needs } of services) {
      const missing = needs.find(({ id }) => !deployed.has(id));
      if (missing) return `${name} needs ${missing.name}, which would not deploy before it.`;
    }
    services.forEach(({ id }) => deployed.add(id));
  }
  return null;
}

function order(stages: Stage[], service: Service, target: Stage): string {
  const active = (stage: Stage) => stage.services.filter(({ id, isSkipped }) => id !== service.id && !isSkipped);
  const before = stages.filter(({ position }) => position < target.position).findLast((stage) => active(stage).length);
  if (service.isSkipped) return `${service.name} is skipped.`;
  if (before) return `${service.name} will deploy after ${listed(active(before).map(({ name }) => name))}.`;
  const after = stages.find((stage) => stage.position > target.position && active(stage).length);
  if (after) return `${service.name} will deploy before ${listed(active(after).map(({ name }) => name))}.`;
  return `${service.name} will deploy first.`;
}
