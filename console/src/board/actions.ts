import { message, type Api } from "../api/client";
import type { Changes } from "./changes";
import {
  EDIT_SERVICE,
  EDIT_STAGE,
  MOVE_SERVICE,
  MOVE_STAGE,
  SKIP_SERVICE,
  TRY_SERVICE,
  TRY_STAGE,
  UNSKIP_SERVICE,
} from "./documents";
import type { Open } from "./open-dialog";
import type { Service, Stage } from "./state";

/** A service or a stage that would be dropped on *target*. */
export type Wish = { target: Stage } & ({ service: Service; stage?: undefined } | { service?: undefined; stage: Stage });

/** The actions that the parts of the board can ask for. */
export interface Actions {
  moveService(service: Service, stage: Stage): void;
  moveStage(stage: Stage, position: number): void;
  /** Ask the server why it would refuse a move; null if it would not. */
  refusal(wish: Wish): Promise<string | null>;
  skip(service: Service, isSkipped: boolean): void;
  renameStage(stage: Stage, name: string): void;
  renameService(service: Service, name: string): void;
  open(dialog: Open): void;
  go(address: string): void;
}

export function actionsOf(
  api: Api,
  environment: string,
  changes: Changes,
  open: Actions["open"],
  go: Actions["go"],
): Actions {
  return {
    moveService(service, stage) {
      void changes.send({
        document: MOVE_SERVICE,
        variables: { service: service.id, stage: stage.id },
        wish: `Moving ${service.name} to ${stage.name}`,
        done: `${service.name} is in stage ${stage.position}, ${stage.name}.`,
        move: (key) => ({ key, service: service.id, stage: stage.id }),
      });
    },
    moveStage(stage, position) {
      void changes.send({
        document: MOVE_STAGE,
        variables: { stage: stage.id, position },
        wish: `Moving stage ${stage.name} to position ${position}`,
        done: `${stage.name} is stage ${position} now.`,
        move: (key) => ({ key, stage: stage.id, position }),
      });
    },
    async refusal({ service, stage, target }) {
      try {
        const { answer } = service
          ? await api.mutate(TRY_SERVICE, { environment, service: service.id, stage: target.id })
          : await api.mutate(TRY_STAGE, { environment, stage: stage.id, position: target.position });
        return answer.__typename === "Refusal" ? answer.message : null;
      } catch (fault) {
        return message(fault);
      }
    },
    skip(service, isSkipped) {
      void changes.send({
        document: isSkipped ? SKIP_SERVICE : UNSKIP_SERVICE,
        variables: { service: service.id },
        wish: `${isSkipped ? "Skipping" : "No longer skipping"} ${service.name}`,
        done: `${service.name} ${isSkipped ? "is skipped" : "is no longer skipped"}.`,
      });
    },
    renameStage(stage, name) {
      void changes.send({
        document: EDIT_STAGE,
        variables: { stage: stage.id, name },
        wish: `Renaming stage ${stage.name} to ${name}`,
        done: `${stage.name} is called ${name} now.`,
      });
    },
    renameService(service, name) {
      void changes.send({
        document: EDIT_SERVICE,
        variables: { service: service.id, name },
        wish: `Renaming ${service.name} to ${name}`,
        done: `${service.name} is called ${name} now.`,
      });
    },
    open,
    go,
  };
}
