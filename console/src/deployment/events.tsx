import { useEffect, useMemo, useState, useSyncExternalStore } from "react";

import { useApi } from "../api/context";
import type { Api } from "../api/client";
import type { ResultOf } from "../graphql";
import { clock } from "../parts/format";
import { Frames } from "../parts/frames";
import { FollowButton, Rows } from "../parts/rows";
import { Failed, Loading } from "../parts/states";
import { EVENTS } from "./documents";

type Event = ResultOf<typeof EVENTS>["deploymentEvents"];

/** The events of a deployment in order. */
class Feed extends Frames {
  readonly events: Event[] = [];
  failure: string | null = null;

  follow(api: Api, deployment: string): () => void {
    this.events.length = 0;
    return api.follow(
      EVENTS,
      { deployment, after: null },
      {
        next: ({ deploymentEvents: event }) => {
          this.events.push(event);
          this.draw();
        },
        failed: (text) => {
          this.failure = text;
          this.draw();
        },
      },
    );
  }
}

/** The events of a deployment, as they happen. */
export function Events({ deployment, isOver }: { deployment: string; isOver: boolean }) {
  const api = useApi();
  const feed = useMemo(() => new Feed(), [deployment]);
  useSyncExternalStore(feed.subscribe, feed.current);
  useEffect(() => feed.follow(api, deployment), [api, deployment, feed]);
  const [isFollowing, setFollowing] = useState(true);
  const { events, failure } = feed;
  if (failure !== null) return <Failed message={failure} />;
  if (events.length === 0) return <Loading what="the events" />;
  return (
    <div className="events">
      <p className="soft tools">
        {events.length.toLocaleString("en")} events
        {!isOver && <FollowButton isFollowing={isFollowing} follow={setFollowing} />}
      </p>
      <Rows
        label="Events"
        count={events.length}
        isFollowing={isFollowing}
        follow={setFollowing}
        row={(index) => {
          const { version, recordedAt, message, actor } = events[index]!;
          return (
            <div key={version} className="event" data-event={version}>
              <span className="soft">{version}</span>
              <time className="soft" dateTime={recordedAt}>
                {clock(recordedAt)}
              </time>
              <bdi>{message}</bdi>
              <bdi className="soft">{actor.name ?? actor.id}</bdi>
            </div>
          );
        }}
      />
    </div>
  );
}
