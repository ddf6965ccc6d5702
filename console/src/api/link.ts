/** The state of the WebSocket: whether what the page shows is current. */

export type Link = { state: "idle" | "open" } | { state: "lost"; since: Date };

const listeners = new Set<() => void>();
let link: Link = { state: "idle" };

export function current(): Link {
  return link;
}

export function subscribe(listener: () => void): () => void {
  listeners.add(listener);
  return () => void listeners.delete(listener);
}

export function setState(state: Link["state"]): void {
  if (link.state === state) return;
  link = state === "lost" ? { state, since: new Date() } : { state };
  listeners.forEach((listener) => listener());
}
