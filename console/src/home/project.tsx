import { useEffect, useState } from "react";
import { Link, useLocation } from "wouter";

import { useApi, useNewest } from "../api/context";
import { newKey } from "../api/key";
import type { ResultOf } from "../graphql";
import { RoleButton } from "../parts/button";
import { NameDialog } from "../parts/dialog";
import { Ago } from "../parts/ago";
import { Failed, Loading } from "../parts/states";
import { Status } from "../parts/status";
import { CREATE_ENVIRONMENT, PROJECT } from "./documents";

type Environments = NonNullable<ResultOf<typeof PROJECT>["project"]["environments"]>;
type Deployment = NonNullable<Environments["nodes"][number]["latestDeployment"]>;

interface Props {
  id: string;
  name: string;
  /** Whether the page was opened for this project. */
  isWanted: boolean;
}

/** A project; it is followed as long as it is in sight. */
export function Project({ id, name, isWanted }: Props) {
  const api = useApi();
  const [, navigate] = useLocation();
  const [section, setSection] = useState<HTMLElement | null>(null);
  const [isCreating, setCreating] = useState(false);
  const { isNear, height } = useNear(section);

  useEffect(() => {
    if (isWanted) section?.scrollIntoView();
  }, [isWanted, section]);

  async function create(name: string): Promise<string | null> {
    const { createEnvironment } = await api.mutate(CREATE_ENVIRONMENT, { project: id, name, key: newKey() });
    if ("message" in createEnvironment) return createEnvironment.message;
    navigate(`/environments/${createEnvironment.pipeline!.environment.id}`);
    return null;
  }

  return (
    <section
      ref={setSection}
      className="project"
      aria-label={name}
      style={height === null ? undefined : { minHeight: `${height}px` }}
    >
      <header>
        <h2>
          <bdi>{name}</bdi>
        </h2>
        <RoleButton needs="EDITOR" aria-label={`New environment in ${name}`} onClick={() => setCreating(true)}>
          New environment
        </RoleButton>
      </header>
      {isNear && <Environments project={id} />}
      {isCreating && (
        <NameDialog title={`New environment in ${name}`} action="Create" save={create} close={() => setCreating(false)} />
      )}
    </section>
  );
}

interface Near {
  isNear: boolean;
  /** The height that it had in sight, null as long as it is there. */
  height: number | null;
}

/** Return whether *element* is in sight or nearly so. */
function useNear(element: HTMLElement | null): Near {
  const [state, setState] = useState<Near>({ isNear: false, height: null });
  useEffect(() => {
    if (!element) return;
    const observer = new IntersectionObserver(
      (entries) => {
        const { isIntersecting, boundingClientRect } = entries.at(-1)!;
        setState(({ isNear }) =>
          isIntersecting || !isNear
            ? { isNear: isIntersecting, height: null }
            : { isNear: false, height: boundingClientRect.height },
        );
      },
      { root: element.closest("main"), rootMargin: "100%" },
    );
    observer.observe(element);
    return () => observer.disconnect();
  }, [element]);
  return state;
}

function Environments({ project }: { project: string }) {
  const loaded = useNewest(PROJECT, { id: project });
  if (loaded.state === "failed") return <Failed message={loaded.message} />;
  if (loaded.state === "loading") return <Loading what="the environments" />;
  const { environments } = loaded.data.project;
  if (!environments) return <Failed message="The environments can’t be read." />;
  return (
    <>
      {environments.nodes.length === 0 && <p className="soft">No environments yet.</p>}
      <ul>
        {environments.nodes.map(({ id, name, latestDeployment }) => (
          <li key={id}>
            <Link href={`/environments/${id}`}>
              <bdi>{name}</bdi>
              {latestDeployment ? <Newest deployment={latestDeployment} /> : <small>never deployed</small>}
            </Link>
          </li>
        ))}
      </ul>
      {environments.pageInfo.hasNextPage && <p className="soft">The first 200 environments are listed.</p>}
    </>
  );
}

function Newest({ deployment }: { deployment: Deployment }) {
  const { number, status, requestedAt, finishedAt, requestedBy, progress, currentStage } = deployment;
  const time = finishedAt ?? requestedAt;
  return (
    <small>
      <span className="newest">
        <Status status={status} />#{number}
      </span>
      {status === "RUNNING" && progress.total > 0 ? (
        <>
          <progress value={progress.done} max={progress.total} aria-label="Progress" />
          <span>
            {progress.done} of {progress.total}
            {currentStage && (
              <>
                , <bdi>{currentStage.name}</bdi>
              </>
            )}
          </span>
        </>
      ) : (
        <span>
          <Ago time={time} />, <bdi>{requestedBy.name ?? requestedBy.id}</bdi>
        </span>
      )}
    </small>
  );
}
