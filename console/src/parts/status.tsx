import "./status.css";

const SHAPES: Record<string, string> = {
  QUEUED: "M8 4.5v4l2.5 1.5",
  RUNNING: "M6.5 5v6l4.5-3z",
  SUCCEEDED: "m4.8 8.3 2.2 2.2 4.3-4.8",
  FAILED: "m5.5 5.5 5 5m0-5-5 5",
  SKIPPED: "M5 8h6",
  CANCELLED: "m5.2 10.8 5.6-5.6",
  UNCHANGED: "M5 6.5h6M5 9.5h6",
};

export const WORDS: Record<string, string> = {
  QUEUED: "queued",
  RUNNING: "running",
  SUCCEEDED: "succeeded",
  FAILED: "failed",
  SKIPPED: "skipped",
  CANCELLED: "cancelled",
  UNCHANGED: "unchanged",
};

interface Props {
  status: string;
  /** A word instead of the status's own. */
  word?: string;
  isIconOnly?: boolean;
}

/** The status as a shape, a colour and a word; without the word where the place has a legend. */
export function Status({ status, word = WORDS[status], isIconOnly = false }: Props) {
  return (
    <span className={`status ${status.toLowerCase()}`} title={isIconOnly ? word : undefined}>
      <svg viewBox="0 0 16 16" aria-hidden="true">
        <circle cx="8" cy="8" r="7" />
        <path d={SHAPES[status]} />
      </svg>
      <span className={isIconOnly ? "said" : undefined}>{word}</span>
    </span>
  );
}
