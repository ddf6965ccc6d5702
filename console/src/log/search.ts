/** A search in the output: the server finds the lines, and the page steps from one to the next. */
import { useEffect, useRef, useState } from "react";

import { message } from "../api/client";
import { useApi } from "../api/context";
import { HITS, NEXT_HIT, PREVIOUS_HIT } from "./documents";
import type { Selection } from "./output";

export interface Hits {
  /** Number of all hits; null if it is not known. */
  count: number | null;
  /** Which one the page is at, from 1; null if it is not known. */
  index: number | null;
  isNone: boolean;
  failure?: string;
}

interface Hit {
  number: number;
  cursor: string;
}

/** Search for *text*, and go to the first hit from line *begin* on; return the hits, and how to step through them. */
export function useSearch(
  selection: Selection,
  text: string,
  begin: number | null,
  go: (number: number) => void,
): [Hits | null, (isForward: boolean) => void] {
  const api = useApi();
  const key = JSON.stringify(selection);
  const [hits, setHits] = useState<Hits | null>(null);
  const at = useRef<Hit>(undefined);
  const first = useRef(begin);
  const latest = useRef(go);
  latest.current = go;

  async function following(from: { fromNumber?: number; after?: string }): Promise<Hit | undefined> {
    const { deploymentLogs: page } = await api.query(NEXT_HIT, { ...selection, text, ...from });
    if (page?.nodes[0] || !page?.pageInfo.hasNextPage) return page?.nodes[0];
    return following({ after: page.pageInfo.endCursor! });
  }

  async function preceding(before?: string): Promise<Hit | undefined> {
    const { deploymentLogs: page } = await api.query(PREVIOUS_HIT, { ...selection, text, before });
    if (page?.nodes[0] || !page?.pageInfo.hasPreviousPage) return page?.nodes[0];
    return preceding(page.pageInfo.startCursor!);
  }

  function reach(hit: Hit | undefined) {
    if (!hit) return;
    at.current = hit;
    latest.current(hit.number);
  }

  useEffect(() => {
    let isOver = false;
    at.current = undefined;
    setHits(null);
    if (!text) return;
    async function search() {
      const from = first.current;
      first.current = null;
      const found = (from !== null && (await following({ fromNumber: from }))) || (await following({}));
      if (isOver) return;
      setHits({ count: null, index: from === null ? 1 : null, isNone: !found });
      reach(found);
      if (!found) return;
      const { deploymentLogs: all } = await api.query(HITS, { ...selection, text });
      if (!isOver) setHits((now) => now && { ...now, count: all?.totalCount ?? null });
    }
    search().catch(
      (fault: unknown) => isOver || setHits({ count: null, index: null, isNone: false, failure: message(fault) }),
    );
    return () => {
      isOver = true;
    };
  }, [api, key, text]);

  async function step(isForward: boolean) {
    const from = at.current;
    if (!from) return;
    const next = isForward ? await following({ after: from.cursor }) : await preceding(from.cursor);
    const around = next ?? (isForward ? await following({}) : await preceding());
    if (at.current !== from) return; // another step was faster
    const move = isForward ? 1 : -1;
    setHits((now) => now && { ...now, index: next ? now.index && now.index + move : isForward ? 1 : now.count });
    reach(around);
  }

  return [
    hits,
    (isForward) =>
      void step(isForward).catch((fault: unknown) => setHits((now) => now && { ...now, failure: message(fault) })),
  ];
}
