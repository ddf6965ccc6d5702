/** The board: what the server said, and above it the moves that it has not confirmed yet. */
import { share } from "../api/share";
import type { Role } from "../session/rights";

export interface Service {
  id: string;
  name: string;
  type: string;
  isSkipped: boolean;
  spec: { allowFailure: boolean };
  /** The services that its references name, and those whose references name it. */
  needs: Reference[];
  neededBy: Reference[];
}

interface Reference {
  id: string;
  name: string;
}

type OnFailure = "STOP" | "CONTINUE" | "ROLL_BACK";

interface Approval {
  count: number;
  timeoutSeconds: number | null;
  onTimeout: "REJECT" | "APPROVE";
  selfApproval: boolean;
  role: Role;
}

export interface StagePolicy {
  concurrency: number | null;
  onFailure: OnFailure | null;
  always: boolean;
  approval: Approval | null;
  waitSeconds: number | null;
  check: { url: string; intervalSeconds: number; timeoutSeconds: number } | null;
}

export interface Freeze {
  cron: string;
  durationSeconds: number;
  timeZone: string;
  action: "REFUSE" | "HOLD";
}

export interface EnvironmentPolicy {
  onFailure: OnFailure;
  buildBarrier: boolean;
  deploymentTimeoutSeconds: number | null;
  onRequest: "WAIT" | "MERGE" | "SUPERSEDE";
  freezes: Freeze[];
}

export interface Stage {
  id: string;
  position: number;
  name: string;
  description: string;
  policy: StagePolicy;
  services: Service[];
}

export interface Pipeline {
  version: number;
  cursor: string;
  environment: { concurrency: number; policy: EnvironmentPolicy };
  stages: Stage[];
}

/** A move that was sent; *version* is that of its answer. */
export type Move = { key: string; version?: number } & (
  | { service: string; stage: string }
  | { service?: undefined; stage: string; position: number }
);

/** Return *pipeline* as it will be after *moves*. */
function overlaid(pipeline: Pipeline, moves: Move[]): Pipeline {
  return moves.reduce((now, move) => {
    const stages = move.service === undefined ? withStage(now.stages, move) : withService(now.stages, move);
    return stages === now.stages ? now : { ...now, stages };
  }, pipeline);
}

/** Return *stages* after a move of a service. */
export function withService(stages: Stage[], { service, stage }: { service: string; stage: string }): Stage[] {
  const from = stages.find(({ services }) => services.some(({ id }) => id === service));
  const moved = from?.services.find(({ id }) => id === service);
  if (!from || !moved || from.id === stage || !stages.some(({ id }) => id === stage)) return stages;
  return stages.map((each) => {
    if (each === from) return { ...each, services: each.services.filter(({ id }) => id !== service) };
    return each.id === stage ? { ...each, services: [...each.services, moved] } : each;
  });
}

/** Return *stages* after a move of a stage. */
export function withStage(stages: Stage[], { stage, position }: { stage: string; position: number }): Stage[] {
  const moved = stages.find(({ id }) => id === stage);
  if (!moved || moved.position === position) return stages;
  const others = stages.filter((each) => each !== moved);
  others.splice(position - 1, 0, moved);
  return others.map((each, at) => (each.position === at + 1 ? each : { ...each, position: at + 1 }));
}

export class BoardState {
  private received: Pipeline | null = null;
  private moves: Move[] = [];
  private shown: Pipeline | null = null;
  private readonly listeners = new Set<() => void>();

  readonly subscribe = (listener: () => void): (() => void) => {
    this.listeners.add(listener);
    return () => void this.listeners.delete(listener);
  };

  readonly current = (): Pipeline | null => this.shown;

  /** Version of the pipeline that the page has seen. */
  get version(): number {
    return this.received?.version ?? 0;
  }

  receive(pipeline: Pipeline): void {
    if (this.received && pipeline.version < this.received.version) return;
    this.received = share(this.received ?? undefined, pipeline);
    this.draw();
  }

  move(move: Move): void {
    this.moves = [...this.moves, move];
    this.draw();
  }

  /** Keep a move until the pipeline of its answer's *version* arrives; without a version, take it back. */
  settle(key: string, version?: number): void {
    this.moves = this.moves.flatMap((move) => {
      if (move.key !== key) return [move];
      return version === undefined ? [] : [{ ...move, version }];
    });
    this.draw();
  }

  private draw(): void {
    const version = this.received?.version ?? 0;
    this.moves = this.moves.filter((move) => move.version === undefined || move.version > version);
    this.shown = this.received && overlaid(this.received, this.moves);
    this.listeners.forEach((listener) => listener());
  }
}
