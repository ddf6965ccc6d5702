/** The changes that this page makes: sent one after another, and never over somebody else's. */
import type { TypedDocumentNode } from "@urql/core";

import { message, type Api } from "../api/client";
import { newKey } from "../api/key";
import type { ResultOf } from "../graphql";
import { say, show } from "../parts/notice";
import type { MOVE_SERVICE } from "./documents";
import type { BoardState, Move } from "./state";
import { undo } from "./undo";

type Answer = ResultOf<typeof MOVE_SERVICE>["answer"];
export type Conflict = { own: string; refusal: Extract<Answer, { __typename: "Refusal" }>; insist: () => void };

export interface Change<Variables> {
  document: TypedDocumentNode<{ answer: Answer }, Variables>;
  variables: Omit<Variables, "environment" | "since" | "key">;
  /** The change in words, as a wish and when it is done. */
  wish: string;
  done: string;
  /** Whether a dialog shows the refusal. */
  isInDialog?: boolean;
  /** The move that the board draws meanwhile. */
  move?: (key: string) => Move;
}

export class Changes {
  private last: Promise<unknown> = Promise.resolve();
  private readonly events = new Map<number, string>();
  private readonly own: number[] = [];

  constructor(
    private readonly api: Api,
    private readonly environment: string,
    private readonly state: BoardState,
    private readonly onConflict: (conflict: Conflict) => void,
    private readonly onOwn: () => void,
  ) {}

  /** Make a change; return why it was refused, or null. */
  send<Variables extends Record<string, unknown>>(
    change: Change<Variables>,
    seen = this.state.version,
  ): Promise<string | null> {
    const key = newKey();
    if (change.move) this.state.move(change.move(key));
    const answer = this.last.then(() => this.perform(change, key, seen));
    this.last = answer.catch(() => undefined);
    return answer;
  }

  private async perform<Variables extends Record<string, unknown>>(
    change: Change<Variables>,
    key: string,
    since: number,
    shown = key,
  ): Promise<string | null> {
    const variables = { ...change.variables, environment: this.environment, since, key } as unknown as Variables;
    let answer: Answer;
    try {
      ({ answer } = await this.api.mutate(change.document, variables));
    } catch (fault) {
      return this.refused(change, shown, message(fault));
    }
    if (answer.__typename === "Refusal") {
      if (answer.code === "VERSION_MISMATCH" || answer.code === "CHANGED_MEANWHILE") {
        const current = answer.currentVersion ?? since;
        if (answer.events.length > 0 && answer.events.every(({ version }) => this.own.includes(version))) {
          return this.perform(change, newKey(), current, key); // only our own change came in between
        }
        this.state.settle(shown);
        this.onConflict({ own: change.wish, refusal: answer, insist: () => void this.send(change, current) });
        say(`${change.wish}: somebody else changed this meanwhile.`);
        return null;
      }
      return this.refused(change, shown, answer.message);
    }
    const version = answer.pipeline?.version ?? answer.snapshot?.version ?? since;
    this.state.settle(shown, version);
    if (answer.changed) {
      this.own.push(version);
      this.onOwn();
    }
    say(change.done);
    return null;
  }

  private refused({ wish, isInDialog }: { wish: string; isInDialog?: boolean }, key: string, why: string): string {
    this.state.settle(key);
    if (!isInDialog) show({ text: `${wish} was refused: ${why}`, isRefusal: true });
    return why;
  }

  /** Learn the id of the own event that led to *version*. */
  learn(version: number, id: string): void {
    this.events.set(version, id);
    this.onOwn();
  }

  get canUndo(): boolean {
    return this.own.some((version) => this.events.has(version));
  }

  /** Undo the last change that this page made and has not undone yet. */
  async undo(): Promise<void> {
    const version = this.own.findLast((each) => this.events.has(each));
    const change = version === undefined ? undefined : this.events.get(version);
    if (version === undefined || change === undefined) return;
    if (!(await undo(this.api, this.environment, change, "Your last change is undone."))) return;
    this.own.splice(this.own.lastIndexOf(version), 1);
    this.onOwn();
  }
}
