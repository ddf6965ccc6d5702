import { combine } from "@atlaskit/pragmatic-drag-and-drop/combine";
import { monitorForElements } from "@atlaskit/pragmatic-drag-and-drop/element/adapter";
import { autoScrollForElements } from "@atlaskit/pragmatic-drag-and-drop-auto-scroll/element";
import { useCallback, useEffect, useLayoutEffect, useMemo, useRef, useState, useSyncExternalStore, type KeyboardEvent } from "react";
import { Link, useLocation } from "wouter";

import { useApi, useQuery } from "../api/context";
import { DeployButton } from "../deployment/plan";
import { say, show } from "../parts/notice";
import { Failed, Loading } from "../parts/states";
import { Status } from "../parts/status";
import { Changes, type Conflict } from "./changes";
import { Column } from "./column";
import { ConflictDialog } from "./dialogs";
import { BOARD, CHANGES, EDIT_STAGE, MOVE_SERVICE, MOVE_STAGE, SKIP_SERVICE, UNSKIP_SERVICE, VIEWER } from "./documents";
import { OpenDialog, type Open } from "./open-dialog";
import { consequence } from "./order";
import { useProgress } from "./progress";
import { BoardState, type Service, type Stage } from "./state";
import "./board.css";

/** A service or a stage that the keyboard has lifted, and where it would go. */
export type Lifted = { service: string; target: string } | { stage: string; target: string };

/** The actions that the parts of the board can ask for. */
export interface Actions {
  moveService(service: Service, stage: Stage): void;
  moveStage(stage: Stage, position: number): void;
  skip(service: Service, isSkipped: boolean): void;
  rename(stage: Stage, name: string): Promise<string | null>;
  open(dialog: Open): void;
  go(address: string): void;
}

export function Board({ environment }: { environment: string }) {
  const api = useApi();
  const root = useRef<HTMLDivElement>(null);
  const [open, setOpen] = useState<Open | null>(null);
  const [conflict, setConflict] = useState<Conflict | null>(null);
  const [failure, setFailure] = useState<string | null>(null);
  const [lifted, setLifted] = useState<Lifted | null>(null);
  const [home, setHome] = useState<string | null>(null);
  const [, setTimes] = useState(0);
  const state = useMemo(() => new BoardState(), [environment]);
  const changes = useMemo(
    () => new Changes(api, environment, state, setConflict, () => setTimes((n) => n + 1)),
    [api, environment, state],
  );
  const pipeline = useSyncExternalStore(state.subscribe, state.current);
  const { progress, newest } = useProgress(environment);
  const [, navigate] = useLocation();
  const [viewer] = useQuery(VIEWER, {});
  const me = viewer.data?.viewer?.actor.id;

  useEffect(
    () =>
      api.follow(
        BOARD,
        { environment },
        {
          next: ({ pipeline }) => {
            setFailure(null);
            state.receive(pipeline);
          },
          failed: setFailure,
          complete: () => setFailure("This environment was deleted."),
        },
      ),
    [api, environment, state],
  );

  const cursor = pipeline?.cursor;
  const isKnown = cursor !== undefined && me !== undefined;
  const begin = useRef<string>(undefined);
  begin.current ??= cursor;
  useEffect(() => {
    if (!isKnown) return;
    return api.follow(
      CHANGES,
      { environment, after: begin.current! },
      {
        next: ({ pipelineEvents: event }) => {
          begin.current = event.cursor;
          if (event.actor.id === me) changes.learn(event.version, event.id);
          else show({ text: `${event.actor.name ?? "Somebody else"}: ${event.message}` });
          flash(root.current, event.service?.serviceId ?? event.stage?.stageId);
        },
      },
    );
  }, [api, environment, changes, isKnown, me]);

  const actions = useMemo<Actions>(
    () => ({
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
      skip(service, isSkipped) {
        void changes.send({
          document: isSkipped ? SKIP_SERVICE : UNSKIP_SERVICE,
          variables: { service: service.id },
          wish: `${isSkipped ? "Skipping" : "No longer skipping"} ${service.name}`,
          done: `${service.name} ${isSkipped ? "is skipped" : "is no longer skipped"}.`,
        });
      },
      rename: (stage, name) =>
        changes.send({
          document: EDIT_STAGE,
          variables: { stage: stage.id, name },
          wish: `Renaming stage ${stage.name} to ${name}`,
          done: `${stage.name} is called ${name} now.`,
        }),
      open: setOpen,
      go: navigate,
    }),
    [changes, navigate],
  );

  useEffect(() => {
    if (!root.current) return;
    return combine(
      autoScrollForElements({ element: root.current }),
      monitorForElements({
        onDrop: ({ source, location }) => {
          const stages = state.current()?.stages ?? [];
          const target = stages.find(({ id }) => id === location.current.dropTargets[0]?.data["stage"]);
          const { service, from } = source.data as { service?: Service; from: string };
          const stage = stages.find(({ id }) => id === from);
          if (!target || target.id === from) return;
          if (service) actions.moveService(service, target);
          else if (stage) actions.moveStage(stage, target.position);
        },
      }),
    );
  }, [actions, state, pipeline === null]);

  const allStages = useCallback(() => state.current()?.stages ?? [], [state]);

  // The element that has the focus is drawn anew when its service changes the stage: the focus follows it.
  const focused = useRef<string>(undefined);
  useLayoutEffect(() => {
    if (focused.current !== undefined && document.activeElement === document.body) focusOn(focused.current);
  }, [pipeline]);

  function focusOn(id: string) {
    const element = root.current?.querySelector<HTMLElement>(`[data-service="${id}"], [data-head="${id}"]`);
    element?.focus();
    element?.closest(".column")?.scrollIntoView({ inline: "nearest", block: "nearest" });
  }

  if (failure !== null && !pipeline) return <Failed message={failure} />;
  if (!pipeline) return <Loading what="the pipeline" />;
  const { stages } = pipeline;

  function onKeyDown(event: KeyboardEvent) {
    const element = event.target as HTMLElement;
    const head = element.dataset["head"];
    const id = element.dataset["service"];
    if (head === undefined && id === undefined) return;
    const at = stages.findIndex((stage) => stage.id === head || stage.services.some((each) => each.id === id));
    const stage = stages[at];
    if (!stage) return;
    const index = stage.services.findIndex((each) => each.id === id);
    const service = stage.services[index];
    const step = event.key === "ArrowRight" ? 1 : event.key === "ArrowLeft" ? -1 : 0;
    if (lifted) carry(event, step, stage, service);
    else if (step) {
      const next = stages[at + step];
      if (next) focusOn(id === undefined ? next.id : (next.services[Math.min(index, next.services.length - 1)]?.id ?? next.id));
      event.preventDefault();
    } else if (event.key === "ArrowDown" || event.key === "ArrowUp") {
      const next = stage.services[index + (event.key === "ArrowDown" ? 1 : -1)];
      if (next) focusOn(next.id);
      else if (event.key === "ArrowUp") focusOn(stage.id);
      event.preventDefault();
    } else if (event.key === " ") {
      setLifted(service ? { service: service.id, target: stage.id } : { stage: stage.id, target: stage.id });
      say(
        `${service ? service.name : `Stage ${stage.name}`} lifted from position ${stage.position}. ` +
          "Left and right choose a place, Enter drops, Escape cancels.",
      );
      event.preventDefault();
    } else if (event.key === "F2" && !service) {
      element.dispatchEvent(new MouseEvent("dblclick", { bubbles: true }));
      event.preventDefault();
    }
  }

  function carry(event: KeyboardEvent, step: number, stage: Stage, service: Service | undefined) {
    if (!lifted) return;
    const chosen = stages.findIndex(({ id }) => id === lifted.target);
    if (step) {
      const next = stages[Math.max(0, Math.min(stages.length - 1, chosen + step))]!;
      setLifted({ ...lifted, target: next.id });
      const what = service ? ` ${consequence(stages, service, next)}` : "";
      say(`Position ${next.position} of ${stages.length}: ${next.name}.${what}`);
      root.current!.querySelector(`[data-column="${next.id}"]`)?.scrollIntoView({ inline: "nearest", block: "nearest" });
    } else if (event.key === "Enter" || event.key === " ") {
      const target = stages[chosen];
      setLifted(null);
      if (!target || target.id === stage.id) say("Left where it was.");
      else if (service) actions.moveService(service, target);
      else actions.moveStage(stage, target.position);
    } else if (event.key === "Escape" || event.key === "Tab") {
      setLifted(null);
      say("Left where it was.");
      if (event.key === "Tab") return;
    } else return;
    event.preventDefault();
  }

  const services = stages.flatMap((stage) => stage.services);
  const entrance = home !== null && document.getElementById(home) ? home : stages[0] ? `head-${stages[0].id}` : null;
  const entered = stages.find(
    ({ id, services }) => entrance === `head-${id}` || services.some((each) => entrance === `card-${each.id}`),
  );

  return (
    <div className="board">
      <div className="tools">
        <h1 className="said">Pipeline board</h1>
        <DeployButton environment={environment} isEmpty={services.length === 0} />
        <button onClick={() => setOpen({ dialog: "stage" })}>New stage</button>
        <button onClick={() => setOpen({ dialog: "environment" })}>Policy …</button>
        {changes.canUndo && <button onClick={() => void changes.undo()}>Undo</button>}
        <span className="facts">
          {newest && (
            <Link href={`/deployments/${newest.id}`}>
              Deployment #{newest.number} <Status status={newest.status} />
            </Link>
          )}
          <span>version {pipeline.version}</span>
        </span>
      </div>
      {failure !== null && (
        <p className="lost" role="alert">
          {failure}
        </p>
      )}
      <p id="keys" className="said">
        Arrows walk, Space lifts, Enter drops, Escape cancels, F2 renames a stage.
      </p>
      <div
        ref={root}
        className="columns"
        role="group"
        aria-label="Stages"
        aria-describedby="keys"
        onKeyDown={onKeyDown}
        onFocus={(event) => {
          if (!event.target.matches("[data-service], [data-head]")) return;
          setHome(event.target.id);
          focused.current = event.target.dataset["service"] ?? event.target.dataset["head"];
        }}
        onBlur={(event) => {
          if (!event.target.isConnected) return;
          setLifted(null);
          focused.current = undefined;
        }}
      >
        {stages.map((stage) => (
          <Column
            key={stage.id}
            stage={stage}
            stages={allStages}
            progress={progress}
            lifted={lifted && (lifted.target === stage.id || holds(stage, lifted)) ? lifted : null}
            entrance={stage === entered ? entrance : null}
            actions={actions}
          />
        ))}
        {services.length === 0 && (
          <aside className="first-steps">
            <p>
              <strong>No services yet.</strong>
            </p>
            <p>
              Each column is a stage. Stages are deployed from left to right; all services of a stage at the same time.
            </p>
            <button className="primary" onClick={() => stages[0] && setOpen({ dialog: "service", stage: stages[0] })}>
              Add the first service
            </button>
          </aside>
        )}
      </div>
      {open && (
        <OpenDialog open={open} environment={environment} pipeline={pipeline} changes={changes} close={() => setOpen(null)} />
      )}
      {conflict && <ConflictDialog conflict={conflict} close={() => setConflict(null)} />}
    </div>
  );
}

function holds(stage: Stage, lifted: Lifted): boolean {
  return "stage" in lifted ? lifted.stage === stage.id : stage.services.some(({ id }) => id === lifted.service);
}

/** Let the eye find what was just changed. */
function flash(root: HTMLElement | null, id: string | undefined): void {
  if (!id || matchMedia("(prefers-reduced-motion: reduce)").matches) return;
  requestAnimationFrame(() => {
    root
      ?.querySelector(`[data-service="${id}"], [data-column="${id}"]`)
      ?.animate([{ boxShadow: "0 0 0 3px var(--accent)" }, { boxShadow: "0 0 0 3px transparent" }], { duration: 1_500 });
  });
}
