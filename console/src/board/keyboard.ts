/** The board by keyboard: arrows walk, Space lifts, Enter drops, Escape cancels. */
import { useState, type KeyboardEvent, type RefObject } from "react";

import { say } from "../parts/notice";
import { useRights } from "../session/rights";
import type { Actions } from "./actions";
import { serviceConsequence, stageConsequence } from "./order";
import type { Service, Stage } from "./state";

/** A service or a stage that the keyboard has lifted, and where it would go. */
export type Lifted = { service: string; target: string } | { stage: string; target: string };

/** Give the focus to a card or to the head of a column. */
export function focusOn(root: HTMLElement | null, id: string): void {
  const element = root?.querySelector<HTMLElement>(`[data-service="${id}"], [data-head="${id}"]`);
  element?.focus();
  element?.closest(".column")?.scrollIntoView({ inline: "nearest", block: "nearest" });
}

export function useKeyboard(root: RefObject<HTMLElement | null>, stages: () => Stage[], actions: Actions) {
  const [lifted, setLifted] = useState<Lifted | null>(null);
  const refusal = useRights().refusal("EDITOR");

  function onKeyDown(event: KeyboardEvent) {
    const element = event.target as HTMLElement;
    const head = element.dataset["head"];
    const id = element.dataset["service"];
    if (head === undefined && id === undefined) return;
    const stage = stages().find((each) => each.id === head || each.services.some((service) => service.id === id));
    if (!stage) return;
    const service = stage.services.find((each) => each.id === id);
    const step = event.key === "ArrowRight" ? 1 : event.key === "ArrowLeft" ? -1 : 0;
    if (event.ctrlKey || event.metaKey || event.altKey) return;
    if (lifted && event.key === "Tab") return drop();
    if (lifted) carry(event, lifted, step, stage, service);
    else if (event.key.startsWith("Arrow")) walk(event.key, step, stage, service);
    else if (![" ", "F2", "Enter", "Delete"].includes(event.key)) return;
    else if (refusal !== null) say(refusal);
    else if (event.key === " ") lift(stage, service);
    else if (event.key === "F2") element.dispatchEvent(new MouseEvent("dblclick", { bubbles: true }));
    else if (event.key === "Enter" && service) actions.open({ dialog: "edit", service });
    else if (event.key === "Delete" && service) actions.open({ dialog: "remove", service });
    else return;
    event.preventDefault();
  }

  function walk(key: string, step: number, stage: Stage, service: Service | undefined) {
    const index = service ? stage.services.indexOf(service) : -1;
    if (step) {
      const next = stages()[stages().indexOf(stage) + step];
      if (next) focusOn(root.current, (service && next.services[Math.min(index, next.services.length - 1)]?.id) ?? next.id);
      return;
    }
    const next = stage.services[index + (key === "ArrowDown" ? 1 : -1)];
    if (next) focusOn(root.current, next.id);
    else if (key === "ArrowUp") focusOn(root.current, stage.id);
  }

  function lift(stage: Stage, service: Service | undefined) {
    setLifted(service ? { service: service.id, target: stage.id } : { stage: stage.id, target: stage.id });
    say(
      `${service ? service.name : `Stage ${stage.name}`} lifted from position ${stage.position}. ` +
        "Left and right choose a place, Enter drops, Escape cancels.",
    );
  }

  function carry(event: KeyboardEvent, lifted: Lifted, step: number, stage: Stage, service: Service | undefined) {
    const all = stages();
    const chosen = all.findIndex(({ id }) => id === lifted.target);
    if (step) {
      const next = all[Math.max(0, Math.min(all.length - 1, chosen + step))]!;
      setLifted({ ...lifted, target: next.id });
      const { text } = service ? serviceConsequence(all, service, next) : stageConsequence(all, stage.id, next.position);
      say(`Position ${next.position} of ${all.length}: ${next.name}. ${text}`);
      root.current!.querySelector(`[data-column="${next.id}"]`)?.scrollIntoView({ inline: "nearest", block: "nearest" });
    } else if (event.key === "Enter" || event.key === " ") {
      const target = all[chosen];
      setLifted(null);
      if (!target || target.id === stage.id) say("Left where it was.");
      else if (service) actions.moveService(service, target);
      else actions.moveStage(stage, target.position);
    } else if (event.key === "Escape") drop();
  }

  function drop() {
    if (lifted) say("Left where it was.");
    setLifted(null);
  }

  return { lifted, onKeyDown, drop };
}
