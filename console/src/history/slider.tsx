import type { Pinned } from "./picker";

interface Props {
  version: number;
  newest: number;
  deployments: Pinned[];
  move: (version: number) => void;
}

/** A slider through the versions, with a mark for each that was deployed. */
export function Slider({ version, newest, deployments, move }: Props) {
  const place = (of: number) => (newest > 1 ? (100 * (of - 1)) / (newest - 1) : 0);
  const pinned = [...new Set(deployments.map(({ pipelineVersion }) => pipelineVersion))];
  return (
    <div className="slider">
      <button aria-label="The version before" disabled={version <= 1} onClick={() => move(version - 1)}>
        ‹
      </button>
      <span className="track">
        <input
          type="range"
          aria-label="Version"
          aria-valuetext={`Version ${version} of ${newest}`}
          min={1}
          max={newest}
          value={version}
          disabled={newest === 1}
          onChange={(event) => move(Number(event.target.value))}
        />
        <span className="marks" aria-hidden="true">
          {pinned.map((each) => (
            <i key={each} style={{ left: `${place(each)}%` }} title={`version ${each} was deployed`} />
          ))}
        </span>
      </span>
      <button aria-label="The version after" disabled={version >= newest} onClick={() => move(version + 1)}>
        ›
      </button>
    </div>
  );
}
