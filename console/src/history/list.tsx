import { useEffect, useRef, useState } from "react";
import { useSearchParams } from "wouter";

import { message } from "../api/client";
import { useApi } from "../api/context";
import type { ResultOf } from "../graphql";
import { ago, moment } from "../parts/format";
import { Failed, Loading } from "../parts/states";
import { HISTORY, NEWER } from "./documents";
import "./list.css";

type Page = NonNullable<ResultOf<typeof HISTORY>["pipelineHistory"]>;
type Change = Page["edges"][number]["node"];

const ORIGINS = ["API", "CLI", "CONSOLE", "ENGINE"] as const;
type Origin = (typeof ORIGINS)[number];

/** Time between a keystroke and the search, in milliseconds. */
const PAUSE = 250;

/** The changes of a pipeline, newest first; the filters are in the address. */
export function HistoryList({ environment }: { environment: string }) {
  const api = useApi();
  const [parameters, setParameters] = useSearchParams();
  const text = parameters.get("text") ?? "";
  const origin = ORIGINS.find((each) => each === parameters.get("origin")) ?? null;
  const [changes, setChanges] = useState<Change[] | null>(null);
  const [end, setEnd] = useState<string | null>(null);
  const [failure, setFailure] = useState<string | null>(null);
  const [times, setTimes] = useState(0);
  const [begin, setBegin] = useState<string | null>(null);

  const read = useRef<(after: string | null) => Promise<void>>(undefined);
  useEffect(() => {
    let isOver = false;
    read.current = async (after) => {
      const filter = { text: text || null, origins: origin && [origin] };
      try {
        const { cursor, pipelineHistory: page } = await api.query(HISTORY, { environment, filter, after });
        if (isOver || !page) return;
        const nodes = page.edges.map(({ node }) => node);
        setChanges((known) => (after === null || known === null ? nodes : [...known, ...nodes]));
        setEnd(page.pageInfo.hasNextPage ? page.pageInfo.endCursor : null);
        setFailure(null);
        setBegin((known) => known ?? cursor);
      } catch (fault) {
        if (!isOver) setFailure(message(fault));
      }
    };
    void read.current(null);
    return () => {
      isOver = true;
    };
  }, [api, environment, text, origin, times]);

  useEffect(() => {
    if (begin === null) return;
    let timer: ReturnType<typeof setTimeout> | undefined;
    const stop = api.follow(
      NEWER,
      { environment, after: begin },
      {
        next: () => {
          clearTimeout(timer);
          timer = setTimeout(() => setTimes((n) => n + 1), PAUSE);
        },
      },
    );
    return () => {
      clearTimeout(timer);
      stop();
    };
  }, [api, environment, begin]);

  function set(name: string, value: string) {
    setParameters(
      (now) => {
        const next = new URLSearchParams(now);
        if (value) next.set(name, value);
        else next.delete(name);
        return next;
      },
      { replace: true },
    );
  }

  return (
    <div className="list history">
      <header>
        <h1>History</h1>
        <Search text={text} search={(value) => set("text", value)} />
        <select aria-label="Made with" value={origin ?? ""} onChange={(event) => set("origin", event.target.value)}>
          <option value="">made with anything</option>
          {ORIGINS.map((each) => (
            <option key={each} value={each}>
              made with {WORDS[each]}
            </option>
          ))}
        </select>
      </header>
      {failure !== null && <Failed message={failure} again={() => setTimes((n) => n + 1)} />}
      {failure === null && changes === null && <Loading what="the history" />}
      {changes?.length === 0 && <p className="empty">{text || origin ? "No change fits." : "No changes yet."}</p>}
      <ul>
        {changes?.map(({ id, version, recordedAt, message, actor, origin, reason }) => (
          <li key={id}>
            <span className="soft version">v{version}</span>
            <span className="what">
              <bdi>{message}</bdi>
              {reason && (
                <small>
                  “<bdi>{reason}</bdi>”
                </small>
              )}
            </span>
            <span>
              <bdi>{actor.name ?? actor.id}</bdi> <small className="soft">with {WORDS[origin]}</small>
            </span>
            <time className="soft" dateTime={recordedAt} title={moment(recordedAt)}>
              {ago(recordedAt)}
            </time>
          </li>
        ))}
      </ul>
      {end !== null && (
        <button className="more" onClick={() => void read.current?.(end)}>
          Older changes
        </button>
      )}
    </div>
  );
}

const WORDS: Record<Origin, string> = {
  API: "the API",
  CLI: "the command line",
  CONSOLE: "the console",
  ENGINE: "the engine",
};

function Search({ text, search }: { text: string; search: (text: string) => void }) {
  const [value, setValue] = useState(text);
  const newest = useRef(search);
  newest.current = search;
  useEffect(() => {
    if (value === text) return;
    const timer = setTimeout(() => newest.current(value), PAUSE);
    return () => clearTimeout(timer);
  }, [value, text]);
  return (
    <input
      type="search"
      aria-label="Search the history"
      placeholder="Search"
      value={value}
      onChange={(event) => setValue(event.target.value)}
    />
  );
}
