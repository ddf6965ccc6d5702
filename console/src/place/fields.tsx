/** Fields that choose an environment, a project or everything, as far as the viewer has a role there. */
import { useState } from "react";

import { useQuery } from "../api/context";
import { rightsOf, type Role } from "../session/rights";
import { useViewer } from "../session/viewer";
import { ENVIRONMENTS, PLACES } from "./documents";

interface Props {
  hasEverything?: boolean;
  /** The role that the viewer must have at the place. */
  needed?: Role;
}

/** The first option is everything if *hasEverything*; the form has `project` and `environment`. */
export function PlaceFields({ hasEverything = false, needed = "ADMIN" }: Props) {
  const viewer = useViewer();
  const [loaded] = useQuery(PLACES, {});
  const [project, setProject] = useState("");
  const everything = rightsOf(viewer, {}).refusal(needed);
  return (
    <>
      <label>
        Project
        <select name="project" required={!hasEverything} value={project} onChange={(event) => setProject(event.target.value)}>
          <option value="" disabled={hasEverything && everything !== null} title={everything ?? undefined}>
            {hasEverything ? "everything" : "Choose …"}
          </option>
          {loaded.data?.projects?.nodes.map(({ id, name }) => (
            <option key={id} value={id}>
              {name}
            </option>
          ))}
        </select>
      </label>
      {project !== "" && <Environments key={`${project} ${needed}`} project={project} needed={needed} />}
    </>
  );
}

function Environments({ project, needed }: { project: string; needed: Role }) {
  const viewer = useViewer();
  const [loaded] = useQuery(ENVIRONMENTS, { project });
  const refusal = (environment?: string) => rightsOf(viewer, { project, environment }).refusal(needed);
  const environments = loaded.data?.environments?.nodes;
  if (!environments) return null;
  const first = refusal() === null ? "" : environments.find(({ id }) => refusal(id) === null)?.id;
  return (
    <label>
      Environment
      <select name="environment" required={refusal() !== null} defaultValue={first}>
        <option value="" disabled={refusal() !== null} title={refusal() ?? undefined}>
          all of the project
        </option>
        {environments.map(({ id, name }) => (
          <option key={id} value={id} disabled={refusal(id) !== null} title={refusal(id) ?? undefined}>
            {name}
          </option>
        ))}
      </select>
    </label>
  );
}

/** Return the place that *form* has. */
export function placeOf(form: FormData): { project: string | null; environment: string | null } {
  return { project: String(form.get("project") ?? "") || null, environment: String(form.get("environment") ?? "") || null };
}

/** Return a place as roles have it: an environment stands without its project. */
export function narrowest({ project, environment }: ReturnType<typeof placeOf>): ReturnType<typeof placeOf> {
  return { project: environment === null ? project : null, environment };
}
