import { Link, useLocation } from "wouter";

import { useCommands } from "../command/commands";

export const TABS = [
  { name: "board", title: "Board" },
  { name: "deployments", title: "Deployments" },
  { name: "history", title: "History" },
  { name: "trends", title: "Trends" },
  { name: "variables", title: "Variables" },
  { name: "insights", title: "Insights" },
];

interface Props {
  environment: string;
  tab: string;
  /** Whether the page is a part of the tab, and not the tab itself. */
  isBelow?: boolean;
}

/** The views of an environment. The digits lead to them. */
export function Tabs({ environment, tab, isBelow = false }: Props) {
  const [, navigate] = useLocation();
  const address = (name: string) => `/environments/${environment}${name === "board" ? "" : `/${name}`}`;
  useCommands(() =>
    TABS.map(({ name, title }, index) => ({
      label: title,
      group: "Environment",
      key: String(index + 1),
      run: () => navigate(address(name)),
    })),
  );
  return TABS.map(({ name, title }) => (
    <Link key={name} href={address(name)} aria-current={name !== tab ? undefined : isBelow ? "true" : "page"}>
      {title}
    </Link>
  ));
}
