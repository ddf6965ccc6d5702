import { combine } from "@atlaskit/pragmatic-drag-and-drop/combine";
import { monitorForElements } from "@atlaskit/pragmatic-drag-and-drop/element/adapter";
import { autoScrollForElements } from "@atlaskit/pragmatic-drag-and-drop-auto-scroll/element";
import { useCallback, useEffect, useLayoutEffect, useMemo, useRef, useState, useSyncExternalStore } from "react";
import { Link, useLocation } from "wouter";

import { useApi } from "../api/context";
import { useCommands } from "../command/commands";
import { ACTIONS, DeployButton } from "../deployment/plan";
import { RoleButton } from "../parts/button";
import { Menu } from "../parts/menu";
import { show } from "../parts/notice";
import { Failed, Loading } from "../parts/states";
import { Status } from "../parts/status";
import { useRights } from "../session/rights";
import { useViewer } from "../session/viewer";
import { actionsOf } from "./actions";
import { Changes, type Conflict } from "./changes";
import { Column } from "./column";
import { ConflictDialog } from "./dialogs";
import { BOARD, CHANGES } from "./documents";
import { focusOn, useKeyboard, type Lifted } from "./keyboard";
import { offers } from "./offers";
import { OpenDialog, type Open } from "./open-dialog";
import { useProgress } from "./progress";
import { useRelations } from "./relations";
import { BoardState, type Service, type Stage } from "./state";
import "./board.css";

export function Board({ environment }: { environment: string }) {
  const api = useApi();
  const root = useRef<HTMLDivElement>(null);
  const [open, setOpen] = useState<Open | null>(null);
  const [conflict, setConflict] = useState<Conflict | null>(null);
  const [failure, setFailure] = useState<string | null>(null);
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
  const me = useViewer()?.actor.id;
  const mayEdit = useRights().refusal("EDITOR") === null;

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

  const actions = useMemo(() => actionsOf(api, environment, changes, setOpen, navigate), [api, environment, changes, navigate]);

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
  useRelations(root, allStages, pipeline);
  const { lifted, onKeyDown, drop } = useKeyboard(root, allStages, actions);
  useCommands(() => [
    ...offers(allStages(), actions, (id) => focusOn(root.current, id)),
    ...(changes.canUndo ? [{ label: "Undo my last change", group: "Board", key: "u", needs: "EDITOR" as const, run: () => void changes.undo() }] : []),
  ]);

  // The element that has the focus is replaced when its service changes the stage: the focus follows it.
  const focused = useRef<string>(undefined);
  useLayoutEffect(() => {
    if (focused.current !== undefined && document.activeElement === document.body) {
      focusOn(root.current, focused.current);
    }
  }, [pipeline]);

  if (failure !== null && !pipeline) return <Failed message={failure} />;
  if (!pipeline) return <Loading what="the pipeline" />;
  const { stages } = pipeline;

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
        <Menu
          label="Actions on what runs"
          text="Act …"
          needs="DEPLOYER"
          items={() =>
            (["restart", "stop", "start"] as const).map((action) => ({
              label: `${ACTIONS[action].button} …`,
              action: () => setOpen({ dialog: "act", action }),
            }))
          }
        />
        <RoleButton needs="EDITOR" onClick={() => setOpen({ dialog: "stage" })}>
          New stage
        </RoleButton>
        <RoleButton needs="EDITOR" onClick={() => setOpen({ dialog: "environment" })}>
          Policy …
        </RoleButton>
        {changes.canUndo && (
          <RoleButton needs="EDITOR" onClick={() => void changes.undo()}>
            Undo
          </RoleButton>
        )}
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
        Arrows walk
        {mayEdit && ", Space lifts, Enter drops, Escape cancels, F2 renames. Enter edits a service, Delete removes it"}.
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
          if (lifted) drop();
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
            <RoleButton
              needs="EDITOR"
              className="primary"
              onClick={() => stages[0] && setOpen({ dialog: "service", stage: stages[0] })}
            >
              Add the first service
            </RoleButton>
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
