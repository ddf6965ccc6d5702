/** The rights of the viewer at the place that a part of the page is about. Its controls ask here, and nowhere else. */
import { createContext, use, useMemo, type ReactNode } from "react";

import { useViewer, type Viewer } from "./viewer";

export type Role = Viewer["roles"][number]["role"];

/** The roles; each includes those before it. */
export const ROLES: readonly Role[] = ["VIEWER", "DEPLOYER", "EDITOR", "ADMIN"];

/** An environment, with its project; a project; or, with neither, everything. */
interface Place {
  project?: string;
  environment?: string;
}

export const EVERYTHING: Place = {};

const PlaceContext = createContext(EVERYTHING);

interface Rights {
  /** Return why the viewer may not do what needs that role here; null if they may. */
  refusal: (needed: Role | undefined) => string | null;
}

/** Set the place that everything in it is about. */
export function PlaceProvider({ project, environment, children }: Place & { children: ReactNode }) {
  const place = useMemo(() => ({ project, environment }), [project, environment]);
  return <PlaceContext value={place}>{children}</PlaceContext>;
}

/** Return the rights of the viewer at *elsewhere*, or at the place of the component. */
export function useRights(elsewhere?: Place): Rights {
  const here = use(PlaceContext);
  const place = elsewhere ?? here;
  const viewer = useViewer();
  return useMemo(() => rightsOf(viewer, place), [viewer, place]);
}

/** Return the rights of *viewer* at a place. */
export function rightsOf(viewer: Viewer | null, { project, environment }: Place): Rights {
  const roles = viewer?.roles.filter((each) =>
    each.environmentId !== null ? each.environmentId === environment : each.projectId === null || each.projectId === project,
  );
  return of(viewer, roles, "here");
}

/** Return the rights of *viewer* at any place at all. */
export function rightsAnywhere(viewer: Viewer): Rights {
  return of(viewer, viewer.roles, "somewhere");
}

function of(viewer: Viewer | null, roles: Viewer["roles"] | undefined, where: string): Rights {
  const level = Math.max(-1, ...(roles ?? []).map(({ role }) => ROLES.indexOf(role)));
  return {
    refusal(needed) {
      if (needed === undefined || level >= ROLES.indexOf(needed)) return null;
      if (!viewer) return "Your roles are not known yet.";
      return `This needs the role ${needed.toLowerCase()} ${where}, and you ${level < 0 ? "have none" : `are ${ROLES[level]!.toLowerCase()}`}.`;
    },
  };
}
