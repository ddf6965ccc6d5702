import { memo, useEffect, useMemo, useRef } from "react";

import { duration, listed } from "../parts/format";
import { useNow } from "./clock";
import { bars, type Bar } from "./bar";
import type { Path, Stage } from "./state";

interface Props {
  stages: Stage[];
  path: Path;
  startedAt: string;
  finishedAt: string | null;
}

/** When each service was built and deployed, and the critical path through them. */
export function Timeline({ stages, path, startedAt, finishedAt }: Props) {
  const list = useRef<HTMLUListElement>(null);
  const begin = Date.parse(startedAt);
  const now = useNow(finishedAt === null);
  const span = Math.max(1, (finishedAt ? Date.parse(finishedAt) : now) - begin);
  const all = useMemo(() => stages.flatMap(bars), [stages]);
  const rows = useMemo(() => [...Map.groupBy(all, ({ service }) => service).values()], [all]);
  const critical = useMemo(() => new Set(path.map(({ service, phase, attempt }) => key(service.serviceId, phase, attempt))), [path]);

  useEffect(() => list.current?.style.setProperty("--span", String(span))); // the bars are placed by CSS

  if (rows.length === 0) return null;
  return (
    <section className="timeline">
      <h2>Timeline</h2>
      <p className="legend">
        <i className="build" /> build <i className="deploy" /> deploy <i className="failed" /> failed{" "}
        <i className="critical" /> critical path
        <span>{duration(span)}</span>
      </p>
      <ul ref={list}>
        {rows.map((row) => (
          <Row
            key={row[0]!.service}
            bars={row}
            begin={begin}
            critical={row.map((bar) => (critical.has(key(bar.service, bar.phase, bar.attempt)) ? "1" : "0")).join("")}
          />
        ))}
      </ul>
      <p className="soft path">
        Critical path: <bdi>{listed([...new Set(path.map(({ service }) => service.name))], 8)}</bdi>
      </p>
    </section>
  );
}

function key(service: string, phase: string, attempt: number): string {
  return `${service} ${phase.toLowerCase()} ${attempt}`;
}

interface RowProps {
  bars: Bar[];
  begin: number;
  /** For each bar, 1 if it is on the critical path. */
  critical: string;
}

const Row = memo(
  function Row({ bars, begin, critical }: RowProps) {
    return (
      <li>
        <bdi title={bars[0]!.name}>{bars[0]!.name}</bdi>
        <span className="track" aria-hidden="true">
          {bars.map(({ phase, attempt, status, from, to }, at) => (
            <i
              key={`${phase}-${attempt}`}
              className={`${phase} ${status.toLowerCase()}${critical[at] === "1" ? " critical" : ""}`}
              style={{
                left: `calc(100% * ${Math.max(0, from - begin)} / var(--span))`,
                width: to === Infinity ? `calc(100% * (var(--span) - ${from - begin}) / var(--span))` : `calc(100% * ${to - from} / var(--span))`,
              }}
              title={`${phase}${attempt > 1 ? `, attempt ${attempt}` : ""}${to === Infinity ? "" : ` ${duration(to - from)}`}`}
            />
          ))}
        </span>
        <span className="said">
          {bars
            .map(({ phase, attempt, status, from, to }) => {
              const took = to === Infinity ? "runs" : duration(to - from);
              return `${phase}${attempt > 1 ? ` attempt ${attempt}` : ""} ${took}${status === "FAILED" ? ", failed" : ""}`;
            })
            .join(", ")}
          {critical.includes("1") && ", on the critical path"}
        </span>
      </li>
    );
  },
  (one, other) => one.begin === other.begin && one.critical === other.critical && areAlike(one.bars, other.bars),
);

function areAlike(one: Bar[], other: Bar[]): boolean {
  return (
    one.length === other.length &&
    one.every(({ name, status, from, to }, at) => {
      const each = other[at]!;
      return each.name === name && each.status === status && each.from === from && each.to === to;
    })
  );
}
