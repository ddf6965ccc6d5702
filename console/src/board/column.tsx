import { draggable, dropTargetForElements } from "@atlaskit/pragmatic-drag-and-drop/element/adapter";
import { combine } from "@atlaskit/pragmatic-drag-and-drop/combine";
import { memo, useEffect, useRef, useState } from "react";

import { Menu } from "../parts/menu";
import { useRights } from "../session/rights";
import type { Actions, Wish } from "./actions";
import { Card } from "./card";
import { Hint } from "./hint";
import type { Lifted } from "./keyboard";
import type { Progress } from "./progress";
import { Rename } from "./rename";
import type { Service, Stage, StagePolicy } from "./state";

interface Props {
  stage: Stage;
  /** Return all stages as they are now; a new order alone draws no column again. */
  stages: () => Stage[];
  /** By the id of the service. */
  progress: Record<string, Progress>;
  lifted: Lifted | null;
  /** Id of the element that Tab reaches, if it is in this column. */
  entrance: string | null;
  actions: Actions;
}

/** A stage: its place in the order, its name, and its services. */
export const Column = memo(function Column({ stage, stages, progress, lifted, entrance, actions }: Props) {
  const column = useRef<HTMLElement>(null);
  const head = useRef<HTMLDivElement>(null);
  const newest = useRef(stage);
  newest.current = stage;
  const [over, setOver] = useState<Wish | null>(null);
  const [isRenaming, setRenaming] = useState(false);
  const mayEdit = useRights().refusal("EDITOR") === null;

  useEffect(() => {
    if (!mayEdit) return;
    return combine(
      draggable({
        element: column.current!,
        dragHandle: head.current!,
        getInitialData: () => ({ from: stage.id }),
      }),
      dropTargetForElements({
        element: column.current!,
        getData: () => ({ stage: stage.id }),
        onDragEnter: ({ source }) => {
          const { service, from } = source.data as { service?: Service; from: string };
          const stage = newest.current;
          if (from === stage.id) return;
          const moved = stages().find(({ id }) => id === from);
          setOver(service ? { service, target: stage } : moved ? { stage: moved, target: stage } : null);
        },
        onDragLeave: () => setOver(null),
        onDrop: () => setOver(null),
      }),
    );
  }, [stage.id, stages, mayEdit]);

  const service = lifted ? carried(stages(), lifted) : undefined;
  const isHolder = lifted && (service ? stage.services.includes(service) : "stage" in lifted && lifted.stage === stage.id);
  const isTarget = lifted?.target === stage.id && !isHolder;
  const hint = over ?? (isTarget ? wishOf(stages(), lifted, service, stage) : null);
  const id = `head-${stage.id}`;

  return (
    <section
      ref={column}
      className={`column${hint ? " over" : ""}${isHolder && "stage" in lifted ? " lifted" : ""}`}
      data-column={stage.id}
      aria-label={`Stage ${stage.position}: ${stage.name}`}
    >
      <header>
        <div
          ref={head}
          id={id}
          data-head={stage.id}
          className="head"
          role="button"
          aria-describedby="keys"
          tabIndex={entrance === id ? 0 : -1}
          onDoubleClick={() => mayEdit && setRenaming(true)}
        >
          <span className="said">Stage</span>
          <span className="position">{stage.position}</span>
          {!isRenaming && (
            <h2>
              <bdi>{stage.name}</bdi>
            </h2>
          )}
        </div>
        {isRenaming && (
          <Rename
            label="Name of the stage"
            name={stage.name}
            save={(name) => {
              setRenaming(false);
              head.current?.focus();
              if (name && name !== stage.name) actions.renameStage(stage, name);
            }}
          />
        )}
        <span className="count">
          {stage.services.length}
          <span className="said">{stage.services.length === 1 ? " service" : " services"}</span>
        </span>
        <Menu
          label={`Actions for stage ${stage.name}`}
          needs="EDITOR"
          tabIndex={entrance === id ? 0 : -1}
          items={() => [
            { label: "Add a service …", action: () => actions.open({ dialog: "service", stage }) },
            { label: "Rename", action: () => setRenaming(true) },
            { label: "Describe …", action: () => actions.open({ dialog: "describe", stage }) },
            { label: "Policy …", action: () => actions.open({ dialog: "policy", stage }) },
            {
              label: "Move left",
              isDisabled: stage.position === 1,
              action: () => actions.moveStage(stage, stage.position - 1),
            },
            {
              label: "Move right",
              isDisabled: stage.position === stages().length,
              action: () => actions.moveStage(stage, stage.position + 1),
            },
            {
              label: "Delete …",
              isDangerous: true,
              isDisabled: stages().length === 1,
              action: () => actions.open({ dialog: "delete", stage }),
            },
          ]}
        />
      </header>
      {stage.description && <p className="description">{stage.description}</p>}
      <Policy policy={stage.policy} />
      <ul className="cards">
        {stage.services.map((each) => (
          <Card
            key={each.id}
            service={each}
            stage={stage}
            stages={stages}
            progress={progress[each.id]}
            isLifted={service === each}
            isEntrance={entrance === `card-${each.id}`}
            actions={actions}
          />
        ))}
      </ul>
      {hint && <Hint wish={hint} stages={stages()} actions={actions} />}
      {!hint && stage.services.length === 0 && <p className="nothing">No services</p>}
    </section>
  );
});

function Policy({ policy: { concurrency, onFailure, always, approval, waitSeconds, check } }: { policy: StagePolicy }) {
  const parts = [
    concurrency !== null && `${concurrency} at once`,
    onFailure === "STOP" && "a failure stops",
    onFailure === "CONTINUE" && "goes on after a failure",
    onFailure === "ROLL_BACK" && "a failure rolls back",
    always && "always runs",
    approval && (approval.count === 1 ? "needs an approval" : `needs ${approval.count} approvals`),
    waitSeconds !== null && `waits ${waitSeconds} s`,
    check && "waits for a check",
  ].filter(Boolean);
  if (parts.length === 0) return null;
  return <p className="description">{parts.join(", ")}</p>;
}

/** Return what the keyboard would drop on *target*. */
function wishOf(stages: Stage[], lifted: Lifted, service: Service | undefined, target: Stage): Wish | null {
  if (service) return { service, target };
  const stage = "stage" in lifted ? stages.find(({ id }) => id === lifted.stage) : undefined;
  return stage ? { stage, target } : null;
}

/** Return the service that the keyboard carries, if it carries one. */
function carried(stages: Stage[], lifted: Lifted): Service | undefined {
  if ("stage" in lifted) return undefined;
  return stages.flatMap(({ services }) => services).find(({ id }) => id === lifted.service);
}
