import { draggable } from "@atlaskit/pragmatic-drag-and-drop/element/adapter";
import { memo, useEffect, useRef, useState } from "react";

import { ACTIONS } from "../deployment/plan";
import { listed } from "../parts/format";
import { Menu } from "../parts/menu";
import { Status } from "../parts/status";
import { useRights } from "../session/rights";
import type { Actions } from "./actions";
import type { Progress } from "./progress";
import { Rename } from "./rename";
import type { Service, Stage } from "./state";

interface Props {
  service: Service;
  stage: Stage;
  stages: () => Stage[];
  progress: Progress | undefined;
  isLifted: boolean;
  /** Whether Tab reaches it. */
  isEntrance: boolean;
  actions: Actions;
}

export const TYPES: Record<string, string> = {
  DATABASE: "database",
  JOB: "job",
  CONTAINER: "container",
  APPLICATION: "application",
};

/** A service: its name, its type, and its status now. */
export const Card = memo(function Card({ service, stage, stages, progress, isLifted, isEntrance, actions }: Props) {
  const card = useRef<HTMLLIElement>(null);
  const [isDragged, setDragged] = useState(false);
  const [isRenaming, setRenaming] = useState(false);
  const mayEdit = useRights().refusal("EDITOR") === null;
  const id = `card-${service.id}`;

  useEffect(() => {
    if (!mayEdit) return;
    return draggable({
      element: card.current!,
      canDrag: ({ element }) => !element.querySelector("input"),
      getInitialData: () => ({ service, from: stage.id }),
      onDragStart: () => setDragged(true),
      onDrop: () => setDragged(false),
    });
  }, [service, stage.id, mayEdit]);

  return (
    <li ref={card} className={`card${isLifted ? " lifted" : ""}${isDragged ? " dragged" : ""}${service.isSkipped ? " skipped" : ""}`}>
      <div
        id={id}
        className="body"
        role="button"
        data-service={service.id}
        aria-describedby="keys"
        tabIndex={isEntrance ? 0 : -1}
        onDoubleClick={() => mayEdit && setRenaming(true)}
      >
        <bdi className="name" title={service.name}>
          {service.name}
        </bdi>
        <span className="facts">
          <span>
            {TYPES[service.type]}
            {service.spec.allowFailure && ", may fail"}
          </span>
          {service.isSkipped ? (
            <Status status="SKIPPED" />
          ) : progress ? (
            <span className="last">
              {progress.isStopped && progress.status === "SUCCEEDED" ? (
                <Status status="SKIPPED" word="stopped" />
              ) : progress.fault && !progress.step ? (
                <Status status="FAILED" word={progress.fault} />
              ) : (
                <Status status={progress.status} word={progress.step ?? undefined} />
              )}{" "}
              #{progress.deployment.number}
            </span>
          ) : (
            <span>not deployed</span>
          )}
        </span>
        {service.needs.length > 0 && (
          <span className="wait">
            Needs <bdi>{listed(service.needs.map(({ name }) => name))}</bdi>
          </span>
        )}
        {progress?.instance && !progress.isStopped && (
          <span className="wait" title={progress.instance}>
            Instance: <bdi>{progress.instance}</bdi>
          </span>
        )}
        {progress?.wait && (
          <span className="wait" title={progress.wait}>
            Waits: <bdi>{progress.wait}</bdi>
          </span>
        )}
      </div>
      {isRenaming && (
        <Rename
          label="Name of the service"
          name={service.name}
          save={(name) => {
            setRenaming(false);
            document.getElementById(id)?.focus();
            if (name && name !== service.name) actions.renameService(service, name);
          }}
        />
      )}
      <Menu
        label={`Actions for ${service.name}`}
        tabIndex={isEntrance ? 0 : -1}
        items={() => [
          { label: "Edit …", needs: "EDITOR", action: () => actions.open({ dialog: "edit", service }) },
          { label: "Rename", needs: "EDITOR", action: () => setRenaming(true) },
          ...(progress
            ? [
                {
                  label: `Deployment #${progress.deployment.number}`,
                  action: () => actions.go(`/deployments/${progress.deployment.id}`),
                },
                {
                  label: "Its log",
                  action: () => actions.go(`/deployments/${progress.deployment.id}/logs?service=${service.id}`),
                },
              ]
            : []),
          ...(progress && service.type !== "JOB"
            ? (["restart", "stop", "start"] as const).map((action) => ({
                label: `${ACTIONS[action].button} …`,
                needs: "DEPLOYER" as const,
                action: () => actions.open({ dialog: "act", action, service }),
              }))
            : []),
          {
            label: service.isSkipped ? "Deploy again" : "Skip in deployments",
            needs: "EDITOR",
            action: () => actions.skip(service, !service.isSkipped),
          },
          {
            label: "Remove …",
            isDangerous: true,
            needs: "EDITOR",
            action: () => actions.open({ dialog: "remove", service }),
          },
          ...stages()
            .filter((each) => each.id !== stage.id)
            .map((each, index) => ({
              label: `${each.position} · ${each.name}`,
              needs: "EDITOR" as const,
              group: index === 0 ? "Move to stage" : undefined,
              action: () => actions.moveService(service, each),
            })),
        ]}
      />
    </li>
  );
});
