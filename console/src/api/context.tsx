import { createContext, use, useCallback, useEffect, useState, useSyncExternalStore } from "react";
import type { AnyVariables, TypedDocumentNode } from "@urql/core";

import { message, type Api } from "./client";
import * as link from "./link";
import { share } from "./share";

export const ApiContext = createContext<Api | null>(null);

export function useApi(): Api {
  const api = use(ApiContext);
  if (!api) throw new Error("useApi outside of ApiContext");
  return api;
}

type Loaded<Data> =
  | { state: "loading"; data?: Data }
  | { state: "failed"; message: string; data?: Data }
  | { state: "loaded"; data: Data };

/** Follow the newest value of a subscription that sends it at once; it is read again when *key* changes. */
export function useNewest<Data, Variables extends Record<string, unknown>>(
  document: TypedDocumentNode<Data, Variables>,
  variables: Variables,
): Loaded<Data> {
  const api = useApi();
  const key = JSON.stringify(variables);
  const [loaded, setLoaded] = useState<Loaded<Data> & { of?: string }>({ state: "loading" });
  useEffect(
    () =>
      api.follow(document, JSON.parse(key) as Variables, {
        next: (data) =>
          setLoaded((last) => ({ state: "loaded", data: share(last.of === key ? last.data : undefined, data), of: key })),
        failed: (text) => setLoaded({ state: "failed", message: text, of: key }),
      }),
    [api, document, key],
  );
  return loaded.of === key ? loaded : { state: "loading" };
}

/**
 * Read a query; return it with a function that reads it again.
 *
 * One that failed is read again when the page has another connection than the one that it failed with.
 */
export function useQuery<Data, Variables extends AnyVariables>(
  document: TypedDocumentNode<Data, Variables>,
  variables: Variables,
): [Loaded<Data>, () => void] {
  const api = useApi();
  const key = JSON.stringify(variables);
  const [times, setTimes] = useState(0);
  const [loaded, setLoaded] = useState<Loaded<Data> & { of?: string; begun?: link.Link }>({ state: "loading" });
  useEffect(() => {
    let isOver = false;
    const begun = link.current();
    api.query(document, JSON.parse(key) as Variables).then(
      (data) => isOver || setLoaded({ state: "loaded", data, of: key }),
      (fault: unknown) => isOver || setLoaded({ state: "failed", message: message(fault), of: key, begun }),
    );
    return () => {
      isOver = true;
    };
  }, [api, document, key, times]);
  const again = useCallback(() => setTimes((n) => n + 1), []);
  const connection = useSyncExternalStore(link.subscribe, link.current);
  const isOutdated = loaded.state === "failed" && loaded.of === key && loaded.begun !== connection;
  useEffect(() => {
    if (isOutdated && connection.state === "open") again();
  }, [isOutdated, connection, again]);
  return [loaded.of === key ? loaded : { state: "loading" }, again];
}
