import { useEffect, useImperativeHandle, useLayoutEffect, useRef, useState, type ReactNode, type Ref } from "react";

import "./rows.css";

/** Height of a row, in pixels, as in rows.css. */
const ROW = 20;

/** Height of the tallest element, in pixels. Firefox draws 17,895,697; beyond this the scroll position is scaled. */
const TALLEST = 12_000_000;

/** Number of rows that are drawn beyond the visible ones, on each side. */
const BEYOND = 12;

export interface RowsHandle {
  /** Scroll to *row*, in the middle. */
  show(row: number): void;
  /** Move the rows by a number of rows without a change of what is seen. */
  shift(rows: number): void;
}

interface Props {
  label: string;
  count: number;
  row: (index: number) => ReactNode;
  /** Whether the last row stays visible. */
  isFollowing: boolean;
  /** Change whether it does: a person scrolled upwards, or the last row came into sight. */
  follow: (isFollowing: boolean) => void;
  /** The first and the last visible row have changed. */
  onRange?: (first: number, last: number) => void;
  ref?: Ref<RowsHandle>;
}

/** A list of any length, of which only the visible rows are drawn. */
export function Rows({ label, count, row, isFollowing, follow, onRange, ref }: Props) {
  const box = useRef<HTMLDivElement>(null);
  const own = useRef(0); // the position that was set by the program last
  const [view, setView] = useState({ top: 0, height: 0 });
  const whole = count * ROW;
  const drawn = Math.min(whole, TALLEST);
  const scale = drawn < whole ? (whole - view.height) / (drawn - view.height) : 1;
  const above = (view.top * scale) / ROW;
  const below = Math.min(count, above + view.height / ROW);
  const from = Math.max(0, Math.floor(above) - BEYOND);
  const to = Math.min(count, Math.ceil(below) + BEYOND);

  function move(top: number) {
    const element = box.current!;
    element.scrollTop = top;
    own.current = element.scrollTop;
    setView({ top: element.scrollTop, height: element.clientHeight });
  }

  useImperativeHandle(ref, () => ({
    show: (index) => move(((index + 0.5) * ROW - box.current!.clientHeight / 2) / scale),
    shift: (rows) => move(box.current!.scrollTop + (rows * ROW) / scale),
  }));

  useLayoutEffect(() => {
    const element = box.current!;
    const observer = new ResizeObserver(() => setView({ top: element.scrollTop, height: element.clientHeight }));
    observer.observe(element);
    return () => observer.disconnect();
  }, []);

  useLayoutEffect(() => {
    if (isFollowing) move(drawn);
  }, [isFollowing, drawn, view.height]);

  useEffect(() => {
    if (view.height > 0) see(above, below, false, below >= count);
  }, [Math.floor(above), Math.ceil(below), count]);

  function see(first: number, last: number, isUp: boolean, isAtEnd: boolean) {
    if (isUp) follow(false);
    else if (isAtEnd) follow(true);
    onRange?.(Math.floor(first), Math.ceil(last));
  }

  function onScroll() {
    const { scrollTop: top, clientHeight: height } = box.current!;
    if (top === view.top && height === view.height) return;
    const isUp = top !== own.current && top < view.top - 1;
    const end = (top * scale) / ROW + height / ROW;
    own.current = -1;
    setView({ top, height });
    const isAtEnd = end >= count - 0.5;
    if (isUp || isAtEnd) see((top * scale) / ROW, Math.min(count, end), isUp, isAtEnd);
  }

  const rows: ReactNode[] = [];
  for (let index = from; index < to; index++) rows.push(row(index));
  return (
    <div ref={box} className="rows" role="log" aria-live="off" aria-label={label} tabIndex={0} onScroll={onScroll}>
      <div className="whole" style={{ height: drawn }}>
        <div className="drawn" style={{ transform: `translateY(${from * ROW - above * ROW + view.top}px)` }}>
          {rows}
        </div>
      </div>
    </div>
  );
}

interface FollowProps {
  isFollowing: boolean;
  follow: (isFollowing: boolean) => void;
}

/** A button that pauses and follows a list. */
export function FollowButton({ isFollowing, follow }: FollowProps) {
  return (
    <button aria-pressed={isFollowing} onClick={() => follow(!isFollowing)}>
      {isFollowing ? "Pause" : "Follow"}
    </button>
  );
}
