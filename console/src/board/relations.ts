import { useEffect, type RefObject } from "react";

import type { Service, Stage } from "./state";

/**
 * Mark the cards that a card needs, and those that need it, while the pointer or the focus is on it.
 *
 * The marks are attributes that React does not know: a thousand cards are not drawn again for them.
 */
export function useRelations(root: RefObject<HTMLElement | null>, stages: () => Stage[], pipeline: object | null): void {
  useEffect(() => {
    const element = root.current;
    if (!element) return;
    let pointed: string | undefined;
    let marked: HTMLElement[] = [];

    function draw() {
      marked.forEach((card) => delete card.dataset["relation"]);
      const id = pointed ?? (document.activeElement as HTMLElement | null)?.dataset["service"];
      const service = id === undefined ? undefined : find(stages(), id);
      marked = service ? mark(element!, service) : [];
    }
    function point({ target, type }: Event) {
      const card = type === "pointerleave" ? null : (target as Element).closest(".card");
      const id = card?.querySelector<HTMLElement>("[data-service]")?.dataset["service"];
      if (id === pointed) return;
      pointed = id;
      draw();
    }
    const late = () => requestAnimationFrame(draw); // the focus is elsewhere only after a focusout

    draw();
    element.addEventListener("pointerover", point);
    element.addEventListener("pointerleave", point);
    element.addEventListener("focusin", draw);
    element.addEventListener("focusout", late);
    return () => {
      marked.forEach((card) => delete card.dataset["relation"]);
      element.removeEventListener("pointerover", point);
      element.removeEventListener("pointerleave", point);
      element.removeEventListener("focusin", draw);
      element.removeEventListener("focusout", late);
    };
  }, [root, stages, pipeline]);
}

function find(stages: Stage[], id: string): Service | undefined {
  return stages.flatMap(({ services }) => services).find((each) => each.id === id);
}

function mark(root: HTMLElement, { name, needs, neededBy }: Service): HTMLElement[] {
  const relations = [
    ...needs.map(({ id }) => [id, `${name} needs it`] as const),
    ...neededBy.map(({ id }) => [id, `needs ${name}`] as const),
  ];
  return relations.flatMap(([id, words]) => {
    const card = root.querySelector<HTMLElement>(`[data-service="${id}"]`)?.closest<HTMLElement>(".card");
    if (!card) return [];
    card.dataset["relation"] = words;
    return [card];
  });
}
