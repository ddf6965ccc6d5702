import { useEffect, useState } from "react";

import { duration } from "../parts/format";

/** Return the time in milliseconds, and draw again four times a second while *isRunning*. */
export function useNow(isRunning: boolean): number {
  const [now, setNow] = useState(Date.now);
  useEffect(() => {
    setNow(Date.now());
    if (!isRunning) return;
    const timer = setInterval(() => setNow(Date.now()), 250);
    return () => clearInterval(timer);
  }, [isRunning]);
  return now;
}

/** The time from a start to an end, or until now. */
export function Took({ from, to }: { from: string | null; to: string | null }) {
  const now = useNow(from !== null && to === null);
  if (from === null) return null;
  return <>{duration((to === null ? now : Date.parse(to)) - Date.parse(from))}</>;
}

/** The time until a moment. */
export function Until({ moment }: { moment: string }) {
  const left = Date.parse(moment) - useNow(true);
  return <>{left > 0 ? `in ${duration(left)}` : "now"}</>;
}
