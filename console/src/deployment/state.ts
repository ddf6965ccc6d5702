/** A deployment as the page knows it. The server sends it once, and then only its parts that change. */
import type { ResultOf } from "../graphql";
import type { DEPLOYMENT } from "./documents";

export type Changes = ResultOf<typeof DEPLOYMENT>["deploymentChanges"];
export type Service = Changes["services"][number];
export type Stage = Changes["stages"][number] & { services: Service[] };
export type Deployment = Changes["deployment"] & { stages: Stage[] };
export type Path = Deployment["explanation"]["criticalPath"];
export type Step = Service["build"];

/** Return *known* after *changes*; the parts that have not changed stay the same objects, and are not drawn again. */
export function fold(known: Deployment | null, { deployment, stages, services }: Changes): Deployment {
  const inStage = (stage: string) => services.filter(({ stageId }) => stageId === stage);
  const before = known?.stages ?? stages.map((each) => ({ ...each, services: inStage(each.stageId) }));
  const ofStage = new Map(stages.map((each) => [each.id, each]));
  const ofService = new Map(services.map((each) => [each.id, each]));
  return {
    ...deployment,
    stages: before.map((stage) => {
      const now = ofStage.get(stage.id);
      if (!now && !stage.services.some(({ id }) => ofService.has(id))) return stage;
      return { ...stage, ...now, services: stage.services.map((each) => ofService.get(each.id) ?? each) };
    }),
  };
}
