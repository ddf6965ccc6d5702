import { useEffect, useRef, useState } from "react";
import { Link } from "wouter";

import { message } from "../api/client";
import { useApi } from "../api/context";
import { undo } from "../board/undo";
import type { ResultOf, VariablesOf } from "../graphql";
import { Ago } from "../parts/ago";
import { Menu } from "../parts/menu";
import { Failed, Loading } from "../parts/states";
import { FILTERS, type Address } from "./address";
import { HISTORY } from "./documents";
import { Filters } from "./filters";
import { ORIGINS } from "./words";
import "./list.css";

type Page = NonNullable<ResultOf<typeof HISTORY>["pipelineHistory"]>;
type Change = Page["nodes"][number];
type HistoryFilter = NonNullable<VariablesOf<typeof HISTORY>["filter"]>;

/** Time between a change and the reading of the list, in milliseconds. */
const PAUSE = 250;

interface Props {
  environment: string;
  newest: number;
  address: Address;
  me: string | undefined;
}

/** The changes of a pipeline, newest first; the filters are in the address. */
export function HistoryList({ environment, newest, address, me }: Props) {
  const { changes, end, failure, older, again } = useChanges(environment, filterOf(address), newest);
  const isFiltered = FILTERS.some((name) => address.get(name));
  const at = address.get("at") || String(newest);
  return (
    <section className="list changes" aria-label="Changes">
      <Filters environment={environment} address={address} />
      {failure !== null && <Failed message={failure} again={again} />}
      {failure === null && changes === null && <Loading what="the history" />}
      {changes?.length === 0 && (
        <div className="empty">
          <p>{isFiltered ? "No change fits." : "No changes yet."}</p>
        </div>
      )}
      <ul>
        {changes?.map((change) => (
          <Row
            key={change.id}
            change={change}
            environment={environment}
            address={address}
            isShown={String(change.version) === at}
            isOwn={change.actor.id === me}
          />
        ))}
      </ul>
      {end !== null && (
        <button className="more" onClick={older}>
          Older changes
        </button>
      )}
    </section>
  );
}

interface RowProps {
  change: Change;
  environment: string;
  address: Address;
  isShown: boolean;
  isOwn: boolean;
}

function Row({ change, environment, address, isShown, isOwn }: RowProps) {
  const api = useApi();
  const { id, version, recordedAt, message: text, actor, origin, reason } = change;

  return (
    <li aria-current={isShown || undefined}>
      <Link className="version" href={address.with({ at: String(version), with: "" })}>
        <span className="said">Show version </span>
        v{version}
      </Link>
      <span className="what">
        <bdi>{text}</bdi>
        {reason && (
          <small>
            “<bdi>{reason}</bdi>”
          </small>
        )}
      </span>
      <span className="who">
        <bdi>{actor.name ?? actor.id}</bdi> <small className="soft">with {ORIGINS[origin]}</small>
      </span>
      <Ago className="soft" time={recordedAt} />
      <Menu
        label={`Actions for version ${version}`}
        items={() => [
          { label: "Show the board as it was", action: () => address.set({ at: String(version), with: "" }, true) },
          { label: "Compare with the newest", action: () => address.set({ at: "", with: String(version) }, true) },
          { label: "Only changes by this person", action: () => address.set({ actor: actor.id }, true) },
          ...(isOwn
            ? [
                {
                  label: "Undo this change",
                  needs: "EDITOR" as const,
                  action: () => void undo(api, environment, id, `The change of version ${version} is undone.`),
                },
              ]
            : []),
        ]}
      />
    </li>
  );
}

function filterOf(address: Address): HistoryFilter {
  const list = (text: string) => (text ? [text] : null);
  const [kind, part] = address.get("part").split(":", 2);
  return {
    text: address.get("text") || null,
    actors: list(address.get("actor")),
    types: list(address.get("type")) as HistoryFilter["types"],
    origins: list(address.get("origin")) as HistoryFilter["origins"],
    stages: kind === "stage" && part ? [part] : null,
    services: kind === "service" && part ? [part] : null,
    since: day(address.get("since"), 0),
    until: day(address.get("until"), 1),
  };
}

/** Return when the local *day* begins, or with *after* when it ends; null if there is none. */
function day(text: string, after: 0 | 1): string | null {
  const [year, month, date] = text.split("-").map(Number);
  if (!year || !month || !date) return null;
  return new Date(new Date(year, month - 1, date + after).getTime() - after).toISOString();
}

/** Read the changes, and again when there is a newer version; what was already read stays. */
function useChanges(environment: string, filter: HistoryFilter, newest: number) {
  const api = useApi();
  const [changes, setChanges] = useState<Change[] | null>(null);
  const [end, setEnd] = useState<string | null>(null);
  const [failure, setFailure] = useState<string | null>(null);
  const [times, setTimes] = useState(0);
  const read = useRef<(after: string | null) => Promise<void>>(undefined);
  const shown = useRef<string>(undefined);
  const first = useRef<string>(undefined);
  const key = JSON.stringify(filter);

  useEffect(() => {
    let isOver = false;
    const isSame = shown.current === key;
    read.current = async (after) => {
      try {
        const variables = { environment, filter: JSON.parse(key) as HistoryFilter, after };
        const { pipelineHistory: page } = await api.query(HISTORY, variables);
        if (isOver || !page) return;
        const { nodes } = page;
        const isJoined = after !== null || (isSame && nodes.some(({ id }) => id === first.current));
        setChanges((known) => (isJoined && known ? joined(known, nodes) : nodes));
        if (!isJoined || after !== null) setEnd(page.pageInfo.hasNextPage ? page.pageInfo.endCursor : null);
        if (after === null) first.current = nodes[0]?.id;
        setFailure(null);
        shown.current = key;
      } catch (fault) {
        if (!isOver) setFailure(message(fault));
      }
    };
    const timer = setTimeout(() => void read.current?.(null), isSame ? PAUSE : 0);
    return () => {
      isOver = true;
      clearTimeout(timer);
    };
  }, [api, environment, key, newest, times]);

  return { changes, end, failure, older: () => void read.current?.(end), again: () => setTimes((n) => n + 1) };
}

/** Return all changes, newest first, each once. */
function joined(known: Change[], read: Change[]): Change[] {
  const all = new Map([...known, ...read].map((change) => [change.id, change]));
  return [...all.values()].sort((one, other) => other.version - one.version);
}
