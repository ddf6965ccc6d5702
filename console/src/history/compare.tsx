import { useEffect, useState } from "react";
import { Link } from "wouter";

import { Ago } from "../parts/ago";
import { RoleButton } from "../parts/button";
import { Failed, Loading } from "../parts/states";
import { Status } from "../parts/status";
import type { Address } from "./address";
import { Picker, type Pinned } from "./picker";
import { usePast, type Past } from "./past";
import { RestoreDialog } from "./restore";
import { Slider } from "./slider";
import { SnapshotBoard } from "./snapshot";

/** Time between the slider's last move and the change of the address, in milliseconds. */
const PAUSE = 250;

interface Props {
  environment: string;
  newest: number;
  address: Address;
  deployments: Pinned[];
}

/** The pipeline as it was at one moment, and what is different from another. */
export function Compare({ environment, newest, address, deployments }: Props) {
  const [dragged, setDragged] = useState<string | null>(null);
  const [isRestoring, setRestoring] = useState(false);
  const asked = address.get("at");
  const at = dragged ?? (asked || String(newest));
  const other = address.get("with");
  const from = other === "newest" ? String(newest) : other || before(at, newest);
  const { past, failure, isBusy } = usePast(environment, { at, from });
  const version = past && past.wish.at === at ? past.snapshot.version : Number(at) || null;

  useEffect(() => setDragged(null), [asked]);
  useEffect(() => {
    if (dragged === null) return;
    const timer = setTimeout(() => address.set({ at: dragged === String(newest) ? "" : dragged }), PAUSE);
    return () => clearTimeout(timer);
  }, [dragged]);

  const pins = deployments.filter(({ pipelineVersion }) => pipelineVersion === past?.snapshot.version);
  return (
    <section className="past" aria-label="The pipeline as it was" aria-busy={isBusy}>
      <header>
        <h2>{version === newest ? `Version ${newest}, the newest` : `Version ${version ?? "…"} of ${newest}`}</h2>
        <span className="pins">
          {pins.map(({ id, number, status }) => (
            <Link key={id} href={`/deployments/${id}`}>
              deployed as #{number} <Status status={status} isIconOnly />
            </Link>
          ))}
        </span>
        <RoleButton needs="EDITOR" disabled={version === null || version === newest} onClick={() => setRestoring(true)}>
          Restore …
        </RoleButton>
      </header>
      <Slider version={version ?? newest} newest={newest} deployments={deployments} move={(to) => setDragged(String(to))} />
      <div className="moments">
        <Picker
          label="Show"
          value={asked}
          ifNone="the newest version"
          newest={newest}
          deployments={deployments}
          choose={(value) => address.set({ at: value }, true)}
        />
        <Picker
          label="compared with"
          value={other}
          ifNone="the version before"
          others={{ newest: "the newest version" }}
          newest={newest}
          deployments={deployments}
          choose={(value) => address.set({ with: value }, true)}
        />
        <button onClick={() => address.set({ at: from === String(newest) ? "" : (from ?? ""), with: at }, true)} disabled={from === null}>
          Swap
        </button>
      </div>
      {failure !== null && <Failed message={failure} />}
      {failure === null && past === null && <Loading what="the version" />}
      {failure === null && past && (
        <>
          <Differences past={past} />
          <SnapshotBoard past={past} />
        </>
      )}
      {isRestoring && version !== null && (
        <RestoreDialog
          environment={environment}
          version={version}
          newest={newest}
          done={() => address.set({ at: "", with: "" }, true)}
          close={() => setRestoring(false)}
        />
      )}
    </section>
  );
}

/** Return the version before *at*, null for the first one and for moments that are no version. */
function before(at: string, newest: number): string | null {
  const version = Number(at);
  return version > 1 && version <= newest ? String(version - 1) : null;
}

function Differences({ past }: { past: Past }) {
  const { since, differences, snapshot } = past;
  if (since === null) return null;
  return (
    <div className="differences">
      <h3>
        From version {since} to version {snapshot.version}
      </h3>
      {differences.length === 0 && <p className="soft">Nothing is different.</p>}
      <ul tabIndex={differences.length > 5 ? 0 : undefined} aria-label="Differences">
        {differences.map(({ change, events }, index) => (
          <li key={index}>
            <bdi>{change.message}</bdi>
            {events.nodes[0] && (
              <small className="soft">
                {" "}
                version {events.nodes[0].version}, <bdi>{events.nodes[0].actor.name ?? events.nodes[0].actor.id}</bdi>,{" "}
                <Ago time={events.nodes[0].recordedAt} />
                {events.nodes[0].reason && (
                  <>
                    : “<bdi>{events.nodes[0].reason}</bdi>”
                  </>
                )}
              </small>
            )}
          </li>
        ))}
      </ul>
    </div>
  );
}
