import type { Deployment } from "../deployment/state";
import { useTyped } from "../parts/typed";
import type { Hits } from "./search";

interface ChoiceProps {
  stages: Deployment["stages"];
  service: string | null;
  phase: "BUILD" | "DEPLOY" | null;
  attempt: number | null;
  select: (part: Record<string, string | null>) => void;
}

/** The part of the output: a service, a step, an attempt. */
export function StepChoice({ stages, service, phase, attempt, select }: ChoiceProps) {
  const services = stages.flatMap((stage) => stage.services);
  const chosen = services.filter(({ serviceId }) => service === null || serviceId === service);
  const steps = chosen.flatMap(({ build, deploy }) => [phase !== "DEPLOY" && build, phase !== "BUILD" && deploy]);
  const attempts = Math.max(attempt ?? 1, ...steps.map((each) => (each ? each.attempt : 1)));
  return (
    <>
      <select
        aria-label="Service"
        value={service ?? ""}
        onChange={(event) => select({ service: event.target.value, attempt: null })}
      >
        <option value="">all services</option>
        {services.map(({ serviceId, name }) => (
          <option key={serviceId} value={serviceId}>
            {name}
          </option>
        ))}
      </select>
      <select aria-label="Step" value={phase ?? ""} onChange={(event) => select({ phase: event.target.value, attempt: null })}>
        <option value="">build and deploy</option>
        <option value="BUILD">build</option>
        <option value="DEPLOY">deploy</option>
      </select>
      {attempts > 1 && (
        <select aria-label="Attempt" value={attempt ?? ""} onChange={(event) => select({ attempt: event.target.value })}>
          <option value="">all attempts</option>
          {Array.from({ length: attempts }, (_, at) => (
            <option key={at} value={at + 1}>
              attempt {at + 1}
            </option>
          ))}
        </select>
      )}
    </>
  );
}

interface SearchProps {
  text: string;
  hits: Hits | null;
  search: (text: string) => void;
  step: (isForward: boolean) => void;
}

export function SearchBox({ text, hits, search, step }: SearchProps) {
  const [typed, setTyped] = useTyped(text, search);
  const isIdle = hits === null || hits.isNone;
  return (
    <form
      role="search"
      onSubmit={(event) => {
        event.preventDefault();
        if (typed !== text) search(typed);
        else step(true);
      }}
    >
      <input
        type="search"
        aria-label="Search in the log"
        placeholder="Search"
        value={typed}
        onChange={(event) => setTyped(event.target.value)}
        onKeyDown={(event) => {
          if (event.key !== "Enter" || !event.shiftKey) return;
          event.preventDefault();
          step(false);
        }}
      />
      <button type="button" aria-label="Previous hit" disabled={isIdle} onClick={() => step(false)}>
        <span aria-hidden="true">↑</span>
      </button>
      <button type="submit" aria-label="Next hit" disabled={isIdle && typed === text}>
        <span aria-hidden="true">↓</span>
      </button>
      <output>{text && words(hits)}</output>
    </form>
  );
}

function words(hits: Hits | null): string {
  if (hits === null) return "searching …";
  if (hits.failure) return hits.failure;
  if (hits.isNone) return "no hit";
  if (hits.count === null) return "";
  const count = hits.count.toLocaleString("en");
  if (hits.index === null) return `${count} ${hits.count === 1 ? "hit" : "hits"}`;
  return `${hits.index.toLocaleString("en")} of ${count}`;
}
