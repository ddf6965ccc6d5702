import type { Insights } from "./page";

/** Width of a day with its gap, and height of the chart, in the units of the drawing. */
const DAY_WIDTH = 10;
const HEIGHT = 100;

/** A day, in milliseconds. */
const DAY = 86_400_000;

/** Two bars for each day of the window, oldest first: the delivered changes, and the bad ones. */
export function Chart({ insights }: { insights: Insights }) {
  const { since, until, days } = insights;
  const first = dayOf(since);
  const count = (dayOf(until) - first) / DAY + 1;
  const most = Math.max(1, ...days.flatMap(({ delivered, failed }) => [delivered, failed]));
  const [delivered, failed] = [sum(days.map((each) => each.delivered)), sum(days.map((each) => each.failed))];
  return (
    <svg
      className="chart"
      viewBox={`0 0 ${DAY_WIDTH * count} ${HEIGHT}`}
      preserveAspectRatio="none"
      role="img"
      aria-label={`Changes by day: ${delivered} delivered, ${failed} failed or rolled back`}
    >
      {days.map((each) => {
        const left = (DAY_WIDTH * (dayOf(each.date) - first)) / DAY;
        const bars: [number, string][] = [
          [each.delivered, "succeeded"],
          [each.failed, "failed"],
        ];
        return (
          <g key={each.date}>
            <title>{`${each.date}: ${each.delivered} delivered, ${each.failed} failed or rolled back`}</title>
            {bars.map(([value, name], index) => (
              <rect
                key={name}
                x={left + 1 + 4 * index}
                y={HEIGHT - ((HEIGHT - 4) * value) / most}
                width={4}
                height={((HEIGHT - 4) * value) / most}
                className={name}
              />
            ))}
          </g>
        );
      })}
    </svg>
  );
}

/** Return the beginning of the day of *time* in UTC, in milliseconds. */
function dayOf(time: string): number {
  return Math.floor(Date.parse(time) / DAY) * DAY;
}

function sum(values: number[]): number {
  return values.reduce((one, other) => one + other, 0);
}
