import { message, type Api } from "../api/client";
import { newKey } from "../api/key";
import { show } from "../parts/notice";
import { UNDO } from "./documents";

/** Undo the change with that id, and show *done* or why it was refused; return whether it is undone. */
export async function undo(api: Api, environment: string, change: string, done: string): Promise<boolean> {
  try {
    const { answer } = await api.mutate(UNDO, { environment, change, key: newKey() });
    if (answer.__typename === "Refusal") {
      const others = answer.events.map((event) => `${event.actor.name ?? event.actor.id}: ${event.message}`).join("; ");
      show({ text: `The undo was refused: ${answer.message}${others && ` (${others})`}`, isRefusal: true });
      return false;
    }
  } catch (fault) {
    show({ text: `The undo failed: ${message(fault)}`, isRefusal: true });
    return false;
  }
  show({ text: done });
  return true;
}
