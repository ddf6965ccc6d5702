import { createContext, use, useEffect, useRef, useSyncExternalStore, type ReactNode } from "react";

import { useQuery } from "../api/context";
import * as link from "../api/link";
import type { ResultOf } from "../graphql";
import { VIEWER } from "./documents";

export type Viewer = NonNullable<ResultOf<typeof VIEWER>["viewer"]>;

const ViewerContext = createContext<Viewer | null>(null);

/** Read who has signed in, and again after a lost connection: a change of roles closes it. */
export function ViewerProvider({ children }: { children: ReactNode }) {
  const [loaded, again] = useQuery(VIEWER, {});
  const { state } = useSyncExternalStore(link.subscribe, link.current);
  const wasLost = useRef(false);
  useEffect(() => {
    if (state === "open" && wasLost.current) again();
    wasLost.current = state === "lost";
  }, [state, again]);
  return <ViewerContext value={loaded.data?.viewer ?? null}>{children}</ViewerContext>;
}

/** Return who has signed in, null until it is known. */
export function useViewer(): Viewer | null {
  return use(ViewerContext);
}
