import { ago, moment } from "./format";

/** How long ago a time was, or how far ahead it is; the time itself is its title. */
export function Ago({ time, className }: { time: string; className?: string }) {
  return (
    <time className={className} dateTime={time} title={moment(time)}>
      {ago(time)}
    </time>
  );
}
