import { useLocation } from "wouter";

import { useNewest } from "../api/context";
import { PROJECTS } from "../home/documents";
import { SIBLINGS } from "./documents";

interface Props {
  environment: { id: string; name: string; project: { id: string; name: string } };
  tab?: string;
}

/** Two lists: the project, and the environment in it. */
export function Switcher({ environment, tab }: Props) {
  const [, navigate] = useLocation();
  const projects = useNewest(PROJECTS, {});
  const siblings = useNewest(SIBLINGS, { project: environment.project.id });
  const others = named(siblings.data?.project.environments?.nodes, environment);
  const all = named(projects.data?.projects.nodes, environment.project);

  return (
    <span className="switcher">
      <select
        aria-label="Project"
        value={environment.project.id}
        onChange={(event) => navigate(`/?project=${encodeURIComponent(event.target.value)}`)}
      >
        {all.map(({ id, name }) => (
          <option key={id} value={id}>
            {name}
          </option>
        ))}
      </select>
      <span aria-hidden="true">/</span>
      <select
        aria-label="Environment"
        value={environment.id}
        onChange={(event) => navigate(`/environments/${event.target.value}${tab && tab !== "board" ? `/${tab}` : ""}`)}
      >
        {others.map(({ id, name }) => (
          <option key={id} value={id}>
            {name}
          </option>
        ))}
      </select>
    </span>
  );
}

interface Named {
  id: string;
  name: string;
}

/** Return *nodes* with *own* even before they are read. */
function named(nodes: Named[] = [], own: Named): Named[] {
  return nodes.some(({ id }) => id === own.id) ? nodes : [own, ...nodes];
}
