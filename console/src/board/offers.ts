import type { Command } from "../command/commands";
import { ACTIONS } from "../deployment/plan";
import type { Actions } from "./actions";
import type { Stage } from "./state";

/** Return what the board offers to the palette, and its keys for the sheet. */
export function offers(stages: Stage[], actions: Actions, focus: (id: string) => void): Command[] {
  const group = "Board";
  const needs = "EDITOR" as const;
  const first = stages[0];
  return [
    ...(["restart", "stop", "start"] as const).map((action) => ({
      label: `${ACTIONS[action].button} what runs …`,
      group: "Environment",
      needs: "DEPLOYER" as const,
      run: () => actions.open({ dialog: "act", action }),
    })),
    { label: "Policy of the environment …", group, needs, run: () => actions.open({ dialog: "environment" }) },
    { label: "New stage …", group, key: "n", needs, run: () => actions.open({ dialog: "stage" }) },
    ...(first
      ? [
          {
            label: "Add a service …",
            group,
            key: "a",
            needs,
            run: () => actions.open({ dialog: "service", stage: focused(stages) ?? first }),
          },
        ]
      : []),
    { label: "Walk", group, key: "← ↑ → ↓" },
    { label: "Lift, then choose a stage and drop", group, key: "Space ← → Enter", needs },
    { label: "Put back what is lifted", group, key: "Esc", needs },
    { label: "Rename the stage or the service", group, key: "F2", needs },
    { label: "Edit the service", group, key: "Enter", needs },
    { label: "Remove the service", group, key: "Delete", needs },
    ...stages.map(({ id, name }) => ({ label: name, group: "Stages", run: () => focus(id) })),
    ...stages.flatMap(({ services }) =>
      services.map(({ id, name }) => ({ label: name, group: "Services", run: () => focus(id) })),
    ),
  ];
}

/** Return the stage that has the focus, or a part of it. */
function focused(stages: Stage[]): Stage | undefined {
  const column = document.activeElement?.closest<HTMLElement>("[data-column]")?.dataset["column"];
  return stages.find(({ id }) => id === column);
}
