import { useLocation } from "wouter";

import { duration } from "../parts/format";
import { WORDS } from "../parts/status";
import { median, type Point } from "./trend";

/** Width of a bar with its gap, and height of a chart, in the units of the drawing. */
const BAR = 10;
const HEIGHT = 100;

/** Number of bars that a chart has room for at least, so that few are not broad. */
const LEAST = 20;

interface Props {
  label: string;
  points: Point[];
  /** Ids of all deployments in the charts, oldest first: each has its place. */
  places: string[];
}

/** A bar for each deployment, oldest first, and a line at the median. A click on a bar leads where its link in a list does. */
export function Chart({ label, points, places }: Props) {
  const [, navigate] = useLocation();
  const most = Math.max(1, ...points.map((point) => point.duration));
  const middle = median(points);
  const y = (value: number) => HEIGHT - (HEIGHT - 4) * (value / most);
  const room = Math.max(LEAST, places.length);
  const left = ({ id }: Point["deployment"]) => BAR * (room - places.length + places.indexOf(id));
  return (
    <svg
      className="chart"
      viewBox={`0 0 ${BAR * room} ${HEIGHT}`}
      preserveAspectRatio="none"
      role="img"
      aria-label={`${label}: ${points.length} deployments, median ${duration(middle)}, last ${duration(points.at(-1)!.duration)}`}
    >
      {points.map(({ deployment, status, duration: value }) => (
        <g key={deployment.id} onClick={() => navigate(`/deployments/${deployment.id}`)}>
          <rect x={left(deployment)} y={0} width={BAR} height={HEIGHT} className="hit" />
          <rect
            x={left(deployment) + 1}
            y={y(value)}
            width={BAR - 2}
            height={HEIGHT - y(value)}
            className={status.toLowerCase()}
          />
          <title>{`#${deployment.number} ${WORDS[status] ?? ""}, ${duration(value)}`}</title>
        </g>
      ))}
      <line x1={0} x2={BAR * room} y1={y(middle)} y2={y(middle)} vectorEffect="non-scaling-stroke" />
    </svg>
  );
}
