import { useEffect, useRef, useState } from "react";

/** Time between a keystroke and the search, in milliseconds. */
const PAUSE = 250;

/** Return the text of a search field, and how to change it; *search* is called when nobody has typed for a moment. */
export function useTyped(text: string, search: (text: string) => void): [string, (text: string) => void] {
  const [typed, setTyped] = useState(text);
  const newest = useRef(search);
  newest.current = search;
  useEffect(() => setTyped(text), [text]);
  useEffect(() => {
    if (typed === text) return;
    const timer = setTimeout(() => newest.current(typed), PAUSE);
    return () => clearTimeout(timer);
  }, [typed, text]);
  return [typed, setTyped];
}
