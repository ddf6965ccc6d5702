import { useEffect, useState } from "react";
import { Link, useLocation, useSearchParams } from "wouter";

import { useApi, useQuery } from "../api/context";
import { BASE } from "../base";
import { ago } from "../parts/format";
import { NameDialog } from "../parts/dialog";
import { Failed, Loading } from "../parts/states";
import { Shell } from "../parts/shell";
import { Status } from "../parts/status";
import { CREATE_ENVIRONMENT, CREATE_PROJECT, ENVIRONMENTS, PROJECTS } from "./documents";
import "./home.css";

/** Interval at which the newest deployments are read again, in milliseconds. */
const REFRESH = 5_000;

/** All environments, by project, with their newest deployments. */
export function Home() {
  const api = useApi();
  const [loaded, again] = useQuery(PROJECTS, {});
  const [isCreating, setCreating] = useState(false);
  const projects = loaded.data?.projects?.edges.map(({ node }) => node);

  async function create(name: string): Promise<string | null> {
    const { createProject } = await api.mutate(CREATE_PROJECT, { name, key: crypto.randomUUID() });
    if ("message" in createProject) return createProject.message;
    again();
    return null;
  }

  return (
    <Shell title="Environments">
      <div className="home">
        <header>
          <h1>Environments</h1>
          <button onClick={() => setCreating(true)}>New project</button>
        </header>
        {loaded.state === "loading" && <Loading what="the projects" />}
        {loaded.state === "failed" && <Failed message={loaded.message} again={again} />}
        {projects?.length === 0 && (
          <div className="empty">
            <p>There are no projects yet.</p>
            <p>A project holds environments, and each environment has its own pipeline.</p>
            <button className="primary" onClick={() => setCreating(true)}>
              Create the first project
            </button>
          </div>
        )}
        {projects?.map((project) => (
          <Project key={project.id} id={project.id} name={project.name} />
        ))}
        <footer className="soft">
          For programs there is <a href={`${BASE}/graphql`}>the GraphQL API</a>.
        </footer>
      </div>
      {isCreating && <NameDialog title="New project" action="Create" save={create} close={() => setCreating(false)} />}
    </Shell>
  );
}

function Project({ id, name }: { id: string; name: string }) {
  const api = useApi();
  const [, navigate] = useLocation();
  const [parameters] = useSearchParams();
  const [loaded, again] = useQuery(ENVIRONMENTS, { project: id });
  const [isCreating, setCreating] = useState(false);
  const [section, setSection] = useState<HTMLElement | null>(null);
  const isWanted = parameters.get("project") === id;
  const environments = loaded.data?.environments?.edges.map(({ node }) => node);

  useEffect(() => {
    if (isWanted) section?.scrollIntoView();
  }, [isWanted, section]);

  useEffect(() => {
    const timer = setInterval(() => document.visibilityState === "visible" && again(), REFRESH);
    return () => clearInterval(timer);
  }, []);

  async function create(name: string): Promise<string | null> {
    const { createEnvironment } = await api.mutate(CREATE_ENVIRONMENT, { project: id, name, key: crypto.randomUUID() });
    if ("message" in createEnvironment) return createEnvironment.message;
    navigate(`/environments/${createEnvironment.pipeline!.environment.id}`);
    return null;
  }

  return (
    <section ref={setSection} className="project" aria-label={name}>
      <header>
        <h2>
          <bdi>{name}</bdi>
        </h2>
        <button onClick={() => setCreating(true)}>New environment</button>
      </header>
      {loaded.state === "failed" && <Failed message={loaded.message} again={again} />}
      {environments?.length === 0 && <p className="soft">No environments yet.</p>}
      <ul>
        {environments?.map((environment) => (
          <li key={environment.id}>
            <Link href={`/environments/${environment.id}`}>
              <bdi>{environment.name}</bdi>
              <Newest deployment={environment.latestDeployment} />
            </Link>
          </li>
        ))}
      </ul>
      {isCreating && (
        <NameDialog title={`New environment in ${name}`} action="Create" save={create} close={() => setCreating(false)} />
      )}
    </section>
  );
}

interface Newest {
  deployment: { number: number; status: string; requestedAt: string; finishedAt: string | null } | null;
}

function Newest({ deployment }: Newest) {
  if (!deployment) return <small>never deployed</small>;
  return (
    <small>
      <Status status={deployment.status} /> #{deployment.number}, {ago(deployment.finishedAt ?? deployment.requestedAt)}
    </small>
  );
}
