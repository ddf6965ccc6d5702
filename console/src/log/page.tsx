import { useCallback, useEffect, useMemo, useRef, useState, useSyncExternalStore } from "react";
import { useLocation, useSearchParams } from "wouter";

import { useApi } from "../api/context";
import { BASE } from "../base";
import type { Deployment } from "../deployment/state";
import { show } from "../parts/notice";
import { changed } from "../parts/parameters";
import { FollowButton, Rows, type RowsHandle } from "../parts/rows";
import { Failed, Loading } from "../parts/states";
import { LineRow, UnfinishedRow } from "./line";
import { Output, type Selection } from "./output";
import { useSearch } from "./search";
import { SearchBox, StepChoice } from "./tools";
import "./page.css";

/** The output of a deployment's steps; the address has the part, the line and the search. */
export function LogPage({ deployment: { id: deployment, stages } }: { deployment: Deployment }) {
  const api = useApi();
  const [place] = useLocation();
  const [parameters, setParameters] = useSearchParams();
  const service = parameters.get("service");
  const phase = (["BUILD", "DEPLOY"] as const).find((each) => each === parameters.get("phase")) ?? null;
  const attempt = Number(parameters.get("attempt")) || null;
  const target = Number(parameters.get("line")) || null;
  const text = parameters.get("text") ?? "";

  const selection = useMemo<Selection>(
    () => ({ deployment, service, phase, attempt }),
    [deployment, service, phase, attempt],
  );
  const output = useMemo(() => new Output(api, selection), [api, selection]);
  useSyncExternalStore(output.subscribe, output.current);
  const rows = useRef<RowsHandle>(null);
  const [isFollowing, setFollowing] = useState(target === null && !text);

  const set = useCallback(
    (values: Record<string, string | number | null>) =>
      setParameters((now) => changed(now, values), { replace: true }),
    [setParameters],
  );

  const [wanted, setWanted] = useState<{ row: number } | null>(null);
  const go = useCallback(
    (number: number) => {
      setFollowing(false);
      set({ line: number });
      void output.find(number).then((row) => setWanted({ row }));
    },
    [output, set],
  );
  const [hits, step] = useSearch(selection, text, target, go);

  const begin = useRef(target);
  useEffect(() => {
    output.onShift = (by) => rows.current?.shift(by);
    const number = begin.current;
    void output.open().then(async () => {
      if (number !== null) setWanted({ row: await output.find(number) });
    });
    return () => output.close();
  }, [output]);

  const { total, unfinished, firstFailure, isOver, isLoaded, failure } = output;
  useEffect(() => {
    if (wanted && isLoaded) rows.current?.show(wanted.row);
  }, [wanted, isLoaded]);

  const query = parameters.toString();
  const address = useCallback(
    (number: number) => `${BASE}${place}?${changed(new URLSearchParams(query), { line: number })}`,
    [place, query],
  );
  const choose = useCallback((number: number) => set({ line: number }), [set]);

  function select(part: Record<string, string | null>) {
    begin.current = null;
    setFollowing(!text);
    set({ ...part, line: null });
  }

  async function download() {
    const part = Object.entries({ service, phase, attempt }).flatMap(([name, value]) => (value ? [[name, String(value)]] : []));
    const refused = await api.download(`/graphql/logs/${deployment}?${new URLSearchParams(part)}`);
    if (refused) show({ text: `Not downloaded: ${refused}`, isRefusal: true });
  }

  const isOfOne = service !== null && phase !== null;
  const count = total + unfinished.length;
  return (
    <div className="log">
      <div className="tools">
        <StepChoice stages={stages} service={service} phase={phase} attempt={attempt} select={select} />
        <SearchBox text={text} hits={hits} search={(value) => set({ text: value })} step={step} />
        {firstFailure !== null && <button onClick={() => go(firstFailure)}>First error</button>}
        {!isOver && isLoaded && <FollowButton isFollowing={isFollowing} follow={setFollowing} />}
        <button disabled={total === 0} onClick={() => void download()}>
          Download
        </button>
        <span className="soft count">{isLoaded && `${total.toLocaleString("en")} ${total === 1 ? "line" : "lines"}`}</span>
      </div>
      {failure !== null && <Failed message={failure} again={() => void output.open()} />}
      {failure === null && !isLoaded && <Loading what="the log" />}
      {isLoaded && count === 0 && <p className="empty">{isOver ? "Nothing was printed." : "Waiting for output …"}</p>}
      {isLoaded && count > 0 && (
        <Rows
          ref={rows}
          label="Log"
          count={count}
          isFollowing={isFollowing}
          follow={(isWanted) => (isWanted && isOver) || setFollowing(isWanted)}
          onRange={(first, last) => output.want(first, last)}
          row={(index) => {
            const line = output.line(index);
            if (line) {
              return (
                <LineRow
                  key={line.number}
                  line={line}
                  isTarget={line.number === target}
                  text={text}
                  isOfOne={isOfOne}
                  address={address}
                  choose={choose}
                />
              );
            }
            const open = unfinished[index - total];
            if (open) return <UnfinishedRow key={`open-${index - total}`} line={open} isOfOne={isOfOne} />;
            return <div key={`row-${index}`} className="line missing" />;
          }}
        />
      )}
    </div>
  );
}
