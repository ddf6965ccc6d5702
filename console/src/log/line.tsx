import { memo, type CSSProperties } from "react";

import { clock } from "../parts/format";
import { spans, type Span } from "./ansi";
import type { Line, Unfinished } from "./output";

/** Number of characters of a line that are drawn; the download has all. */
const LONGEST = 4_000;

interface Props {
  line: Line;
  /** Whether the address leads to it. */
  isTarget: boolean;
  /** The text that is searched for. */
  text: string;
  isOfOne: boolean;
  address: (number: number) => string;
  choose: (number: number) => void;
}

export const LineRow = memo(function LineRow({ line, isTarget, text, isOfOne, address, choose }: Props) {
  const { number, printedAt, kind } = line;
  return (
    <div className={`line ${kind.toLowerCase()}${isTarget ? " target" : ""}`} data-line={number}>
      <a
        href={address(number)}
        aria-label={`Line ${number}`}
        onClick={(event) => {
          if (event.ctrlKey || event.metaKey || event.shiftKey) return;
          event.preventDefault();
          choose(number);
        }}
      >
        {number}
      </a>
      <time dateTime={printedAt}>{clock(printedAt)}</time>
      {!isOfOne && <Step of={line} />}
      <Text text={line.text} searched={text} />
    </div>
  );
});

export function UnfinishedRow({ line, isOfOne }: { line: Unfinished; isOfOne: boolean }) {
  return (
    <div className="line unfinished">
      <span className="number" title="This line has no end yet." />
      <time />
      {!isOfOne && <Step of={line} />}
      <Text text={line.text} searched="" />
    </div>
  );
}

function Step({ of: { service, phase, attempt } }: { of: Line | Unfinished }) {
  const step = `${service.name} · ${phase.toLowerCase()}${attempt > 1 ? ` ${attempt}` : ""}`;
  return (
    <bdi className="step" title={step}>
      {step}
    </bdi>
  );
}

function Text({ text, searched }: { text: string; searched: string }) {
  const shown = text.length > LONGEST ? text.slice(0, LONGEST) : text;
  return (
    <bdi className="text">
      {marked(spans(shown), searched).map((span, at) =>
        span.isHit ? (
          <mark key={at} className={span.classes}>
            {span.text}
          </mark>
        ) : (
          <span key={at} className={span.classes} style={colors(span)}>
            {span.text}
          </span>
        ),
      )}
      {shown !== text && <i> … {(text.length - LONGEST).toLocaleString("en")} more characters</i>}
    </bdi>
  );
}

function colors({ ink, paper }: Span): CSSProperties {
  return {
    color: ink === null ? undefined : `var(--ansi-${ink})`,
    background: paper === null ? undefined : `color-mix(in srgb, var(--ansi-${paper}) 22%, transparent)`,
  };
}

/** Return the parts, split where *searched* occurs in the line, in upper or lower case. */
function marked(parts: Span[], searched: string): (Span & { isHit?: boolean })[] {
  if (!searched) return parts;
  const line = parts.map(({ text }) => text).join("");
  const pattern = new RegExp(searched.replace(/[.*+?^${}()|[\]\\]/g, "\\$&"), "giu");
  const hits = [...line.matchAll(pattern)].map(({ 0: hit, index }) => [index, index + hit.length] as const);
  if (hits.length === 0) return parts;
  const cuts = [...new Set(hits.flat())];
  let begin = 0;
  return parts.flatMap((part) => {
    const end = begin + part.text.length;
    const ends = [...cuts.filter((cut) => cut > begin && cut < end), end];
    return ends.map((to) => {
      const isHit = hits.some(([from, until]) => from <= begin && to <= until);
      const piece = { ...part, text: line.slice(begin, to), isHit };
      begin = to;
      return piece;
    });
  });
}
