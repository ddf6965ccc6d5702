import { useEffect, useState, useSyncExternalStore, type ReactNode } from "react";
import { Link } from "wouter";

import * as link from "../api/link";
import { signOut } from "../session/session";
import { moment } from "./format";
import { show } from "./notice";
import { Notices } from "./notices";
import "./shell.css";

interface Props {
  title: string;
  place?: ReactNode;
  tabs?: ReactNode;
  children: ReactNode;
}

/** The frame of every page: where one is, what else there is, and whether it is current. */
export function Shell({ title, place, tabs, children }: Props) {
  useEffect(() => {
    document.title = `${title} · Stageline`;
  }, [title]);

  async function leave() {
    const refused = await signOut();
    if (refused) show({ text: refused, isRefusal: true });
  }

  return (
    <div className="shell">
      <header className="bar">
        <Link href="/" className="brand" aria-label="Stageline: all environments">
          <svg viewBox="0 0 16 16" aria-hidden="true">
            <path d="M2.5 3.5h6M2.5 8h8.5M2.5 12.5h11" />
          </svg>
          <span>Stageline</span>
        </Link>
        {place}
        {tabs && <nav aria-label="Views">{tabs}</nav>}
        <button className="leave" onClick={() => void leave()}>
          Sign out
        </button>
      </header>
      <Lost />
      <main>{children}</main>
      <Notices />
    </div>
  );
}

/** Says that the connection is lost, and how old the page is. */
function Lost() {
  const now = useSyncExternalStore(link.subscribe, link.current);
  const since = now.state === "lost" ? now.since : null;
  const [isLong, setLong] = useState(false);
  useEffect(() => {
    setLong(false);
    if (!since) return;
    const timer = setTimeout(() => setLong(true), 700); // a short cut mends itself unseen
    return () => clearTimeout(timer);
  }, [since]);
  if (!since || !isLong) return null;
  return (
    <p role="status" className="lost">
      Connection lost. You see the state of {moment(since)}. Reconnecting …
    </p>
  );
}
