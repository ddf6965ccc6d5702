import { createContext, use, type ReactNode } from "react";

import { useQuery } from "../api/context";
import type { ResultOf } from "../graphql";
import { VIEWER } from "./documents";

export type Viewer = NonNullable<ResultOf<typeof VIEWER>["viewer"]>;

const ViewerContext = createContext<Viewer | null>(null);

/** Read once who has signed in. */
export function ViewerProvider({ children }: { children: ReactNode }) {
  const [loaded] = useQuery(VIEWER, {});
  return <ViewerContext value={loaded.data?.viewer ?? null}>{children}</ViewerContext>;
}

/** Return who has signed in, null until it is known. */
export function useViewer(): Viewer | null {
  return use(ViewerContext);
}
