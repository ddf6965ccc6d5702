import { Link } from "wouter";

import { useQuery } from "../api/context";
import { Board } from "../board/board";
import { Deployments } from "../deployment/list";
import { HistoryPage } from "../history/page";
import { InsightPage } from "../insight/page";
import { Failed, Loading } from "../parts/states";
import { Shell } from "../parts/shell";
import { Secrets } from "../secret/section";
import { PlaceProvider } from "../session/rights";
import { Trends } from "../trend/page";
import { Variables } from "../variable/page";
import { ENVIRONMENT } from "./documents";
import { Switcher } from "./switcher";
import { TABS, Tabs } from "./tabs";

export function EnvironmentPage({ id, tab }: { id: string; tab: string }) {
  const [loaded, again] = useQuery(ENVIRONMENT, { id });
  if (loaded.state === "failed") return <Shell title="Environment">{<Failed message={loaded.message} again={again} />}</Shell>;
  if (loaded.state === "loading") return <Shell title="Environment">{<Loading what="the environment" />}</Shell>;
  const { environment } = loaded.data;
  if (!environment || environment.isDeleted) {
    return (
      <Shell title="Not found">
        <div className="empty">
          <p>There is no such environment. It may have been deleted.</p>
          <Link href="/">All environments</Link>
        </div>
      </Shell>
    );
  }
  const title = TABS.find((each) => each.name === tab)?.title ?? "Not found";
  return (
    <PlaceProvider project={environment.project.id} environment={id}>
      <Shell
        title={`${title} · ${environment.name}`}
        place={<Switcher environment={environment} tab={tab} />}
        tabs={<Tabs environment={id} tab={tab} />}
      >
        {tab === "board" && <Board environment={id} />}
        {tab === "deployments" && <Deployments environment={id} />}
        {tab === "history" && <HistoryPage environment={id} />}
        {tab === "trends" && <Trends environment={id} />}
        {tab === "variables" && (
          <>
            <Variables environment={id} project={environment.project} />
            <Secrets environment={id} project={environment.project} />
          </>
        )}
        {tab === "insights" && <InsightPage environment={id} project={environment.project} />}
        {title === "Not found" && <p className="empty">There is no such page.</p>}
      </Shell>
    </PlaceProvider>
  );
}
