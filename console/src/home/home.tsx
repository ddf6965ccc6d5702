import { useState } from "react";
import { useSearchParams } from "wouter";

import { useApi, useNewest } from "../api/context";
import { newKey } from "../api/key";
import { BASE } from "../base";
import { useCommands } from "../command/commands";
import { RoleButton } from "../parts/button";
import { NameDialog } from "../parts/dialog";
import { Failed, Loading } from "../parts/states";
import { Shell } from "../parts/shell";
import { PlaceProvider } from "../session/rights";
import { CREATE_PROJECT, PROJECTS } from "./documents";
import { Project } from "./project";
import "./home.css";

/** All environments, by project, with their newest deployments, live. */
export function Home() {
  const api = useApi();
  const loaded = useNewest(PROJECTS, {});
  const [parameters] = useSearchParams();
  const [isCreating, setCreating] = useState(false);
  const projects = loaded.data?.projects.nodes;
  useCommands(() => [
    { label: "New project …", group: "Environments", key: "n", needs: "EDITOR", run: () => setCreating(true) },
  ]);

  async function create(name: string): Promise<string | null> {
    const { createProject } = await api.mutate(CREATE_PROJECT, { name, key: newKey() });
    return "message" in createProject ? createProject.message : null;
  }

  return (
    <Shell title="Environments">
      <div className="home">
        <header>
          <h1>Environments</h1>
          <RoleButton needs="EDITOR" onClick={() => setCreating(true)}>
            New project
          </RoleButton>
        </header>
        {loaded.state === "loading" && <Loading what="the projects" />}
        {loaded.state === "failed" && <Failed message={loaded.message} />}
        {projects?.length === 0 && (
          <div className="empty">
            <p>There are no projects yet.</p>
            <p>A project holds environments, and each environment has its own pipeline.</p>
            <RoleButton needs="EDITOR" className="primary" onClick={() => setCreating(true)}>
              Create the first project
            </RoleButton>
          </div>
        )}
        {projects?.map(({ id, name }) => (
          <PlaceProvider key={id} project={id}>
            <Project id={id} name={name} isWanted={parameters.get("project") === id} />
          </PlaceProvider>
        ))}
        {loaded.data?.projects.pageInfo.hasNextPage && <p className="soft">The first 500 projects are listed.</p>}
        <footer className="soft">
          For programs there is <a href={`${BASE}/graphql`}>the GraphQL API</a>.
        </footer>
      </div>
      {isCreating && <NameDialog title="New project" action="Create" save={create} close={() => setCreating(false)} />}
    </Shell>
  );
}
