/** The past of a pipeline, read as fast as a slider moves: one request at a time, and always the last wish next. */
import { useEffect, useMemo, useState } from "react";

import { message, type Api } from "../api/client";
import { useApi } from "../api/context";
import type { ResultOf } from "../graphql";
import { COMPARED, PAST } from "./documents";
import { parsed } from "./moment";

type Diff = NonNullable<ResultOf<typeof COMPARED>["pipelineDiff"]>;
type Snapshot = Diff["to"];
type Difference = Diff["differences"][number];

/** A moment, and another one that it is compared with, as the address has them. */
interface Wish {
  at: string;
  from: string | null;
}

export interface Past {
  wish: Wish;
  snapshot: Snapshot;
  /** Version of the other moment, and what is different from it. */
  since: number | null;
  differences: Difference[];
}

interface PastState {
  past: Past | null;
  failure: string | null;
  isBusy: boolean;
}

/** Maximum number of moments that are kept. */
const MOST = 200;

class Reader {
  private readonly known = new Map<string, Past>();
  private wanted: Wish | null = null;
  private isBusy = false;

  constructor(
    private readonly api: Api,
    private readonly environment: string,
    private readonly publish: (state: Partial<PastState>) => void,
  ) {}

  want(wish: Wish): void {
    const past = this.known.get(JSON.stringify(wish));
    this.wanted = past ? null : wish;
    if (past) this.publish({ past, failure: null, isBusy: false });
    else if (!this.isBusy) void this.run();
  }

  private async run(): Promise<void> {
    this.isBusy = true;
    while (this.wanted) {
      const wish = this.wanted;
      this.wanted = null;
      this.publish({ isBusy: true });
      try {
        const past = await this.read(wish);
        this.keep(past);
        this.publish({ past, failure: null, isBusy: this.wanted !== null });
      } catch (fault) {
        if (this.wanted === null) this.publish({ past: null, failure: message(fault), isBusy: false });
      }
    }
    this.isBusy = false;
  }

  private async read(wish: Wish): Promise<Past> {
    const { api, environment } = this;
    const at = parsed(wish.at);
    if (wish.from === null) {
      const { pipelineSnapshot: snapshot } = await api.query(PAST, { environment, at });
      if (!snapshot) throw new Error("The pipeline has no such moment in its history.");
      return { wish, snapshot, since: null, differences: [] };
    }
    const { pipelineDiff } = await api.query(COMPARED, { environment, from: parsed(wish.from), to: at });
    if (!pipelineDiff) throw new Error("The pipeline could not be compared.");
    const { from, to: snapshot, differences } = pipelineDiff;
    return { wish, snapshot, since: from.version, differences };
  }

  /** Keep what never changes: moments that are versions. */
  private keep(past: Past): void {
    const { at, from } = past.wish;
    if (!/^\d+$/.test(at) || (from !== null && !/^\d+$/.test(from))) return;
    const [oldest] = this.known.keys();
    if (this.known.size === MOST && oldest !== undefined) this.known.delete(oldest);
    this.known.set(JSON.stringify(past.wish), past);
  }
}

/** Read a moment; while another one is read, the last one stays. */
export function usePast(environment: string, { at, from }: Wish): PastState {
  const api = useApi();
  const [state, setState] = useState<PastState>({ past: null, failure: null, isBusy: true });
  const reader = useMemo(
    () => new Reader(api, environment, (more) => setState((now) => ({ ...now, ...more }))),
    [api, environment],
  );
  useEffect(() => reader.want({ at, from }), [reader, at, from]);
  return state;
}
