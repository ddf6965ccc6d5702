import { useNewest, useQuery } from "../api/context";
import { Failed, Loading } from "../parts/states";
import { useViewer } from "../session/viewer";
import { useAddress } from "./address";
import { Compare } from "./compare";
import { NEWEST, PINNED } from "./documents";
import { HistoryList } from "./list";
import "./page.css";

/** A pipeline's past: as it was at any moment, and the changes that led there. */
export function HistoryPage({ environment }: { environment: string }) {
  const address = useAddress();
  const newest = useNewest(NEWEST, { environment });
  const [pinned] = useQuery(PINNED, { environment });
  const viewer = useViewer();
  if (newest.state === "failed") return <Failed message={newest.message} />;
  if (newest.state === "loading") return <Loading what="the history" />;
  const { version } = newest.data.pipeline;
  return (
    <div className="history">
      <h1 className="said">History</h1>
      <Compare
        environment={environment}
        newest={version}
        address={address}
        deployments={pinned.data?.deployments?.nodes ?? []}
      />
      <HistoryList environment={environment} newest={version} address={address} me={viewer?.actor.id} />
    </div>
  );
}
