/** A moment of a pipeline, as the address has it: 12, 2026-11-30T08:44:21.000Z or the id of a deployment. */
import type { VariablesOf } from "../graphql";
import type { COMPARED } from "./documents";

export type Moment = VariablesOf<typeof COMPARED>["from"];

/** Return the moment; throw an error with a message for people if it is none. */
export function parsed(text: string): Moment {
  if (/^\d{1,9}$/.test(text)) return { version: Number(text) };
  if (text.startsWith("deployment_")) return { deployment: text };
  const time = Date.parse(text);
  if (Number.isNaN(time)) throw new Error(`“${text}” is no version, no time and no deployment.`);
  return { asOf: new Date(time).toISOString() };
}

/** Return *text* for a field of the type datetime-local, or "" if it is no time. */
export function localTime(text: string): string {
  const time = Date.parse(text);
  if (Number.isNaN(time) || !text.includes("-")) return "";
  const moved = new Date(time - new Date(time).getTimezoneOffset() * 60_000);
  return moved.toISOString().slice(0, 19);
}
