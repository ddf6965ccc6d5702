import { useEffect, useState, useSyncExternalStore, type ReactNode } from "react";
import { Link, useLocation } from "wouter";

import * as link from "../api/link";
import { open } from "../command/center";
import { signOut } from "../session/session";
import { useViewer } from "../session/viewer";
import { duration, moment } from "./format";
import { Menu } from "./menu";
import { show } from "./notice";
import { Notices } from "./notices";
import * as theme from "./theme";
import "./shell.css";

interface Props {
  title: string;
  place?: ReactNode;
  tabs?: ReactNode;
  children: ReactNode;
}

/** The frame of every page: where one is, what else there is, and whether it is current. */
export function Shell({ title, place, tabs, children }: Props) {
  const [views, setViews] = useState<HTMLElement | null>(null);
  useEffect(() => {
    document.title = `${title} · Stageline`;
  }, [title]);

  useEffect(() => {
    if (!views) return;
    const show = () => views.querySelector("[aria-current]")?.scrollIntoView({ inline: "nearest", block: "nearest" });
    const observer = new ResizeObserver(show);
    observer.observe(views);
    return () => observer.disconnect();
  }, [views, title]);

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
        {tabs && (
          <nav ref={setViews} aria-label="Views">
            {tabs}
          </nav>
        )}
        <span className="own">
          <button className="find" title="Find anything (Ctrl K)" onClick={() => open("palette")}>
            <svg viewBox="0 0 16 16" aria-hidden="true">
              <circle cx="7" cy="7" r="4.5" />
              <path d="m10.5 10.5 3.5 3.5" />
            </svg>
            <span className="said">Find anything</span>
            <kbd>Ctrl K</kbd>
          </button>
          <Account />
        </span>
      </header>
      <Lost />
      <main>{children}</main>
      <Notices />
    </div>
  );
}

const THEMES: [theme.Theme, string][] = [
  ["light", "Light"],
  ["dark", "Dark"],
  ["system", "As the system"],
];

/** The account of the person who has signed in, and the settings of this person only. */
function Account() {
  const viewer = useViewer();
  const [, navigate] = useLocation();

  async function leave() {
    const refused = await signOut();
    if (refused) show({ text: refused, isRefusal: true });
  }

  return (
    <Menu
      label="Your account"
      text={viewer ? (viewer.actor.name ?? viewer.actor.id) : "…"}
      items={() => [
        { label: "Tokens", action: () => navigate("/tokens") },
        { label: "Roles", action: () => navigate("/roles") },
        { label: "Webhooks", action: () => navigate("/webhooks") },
        { label: "Keys", action: () => open("keys") },
        ...THEMES.map(([each, words], index) => ({
          label: theme.chosen() === each ? `${words} ✓` : words,
          group: index === 0 ? "Colours" : undefined,
          action: () => theme.choose(each),
        })),
        { label: "Sign out", group: "Session", action: () => void leave() },
      ]}
    />
  );
}

/** Says that the connection is lost, and how old the page is. */
function Lost() {
  const now = useSyncExternalStore(link.subscribe, link.current);
  const since = now.state === "lost" ? now.since : null;
  const [age, setAge] = useState(0);
  useEffect(() => {
    setAge(0);
    if (!since) return;
    const timer = setInterval(() => setAge(Date.now() - since.getTime()), 1_000); // a short cut mends itself unseen
    return () => clearInterval(timer);
  }, [since]);
  if (!since || age === 0) return null;
  return (
    <p className="lost">
      <span role="status">Connection lost. You see the state of {moment(since)}.</span>{" "}
      <span className="age">It is {duration(age)} old.</span> Reconnecting …
    </p>
  );
}
