import { useState } from "react";

import { WORDS } from "../parts/status";
import { localTime } from "./moment";

export interface Pinned {
  id: string;
  number: number;
  status: string;
  pipelineVersion: number;
}

interface Props {
  label: string;
  /** The moment as the address has it; "" if there is none. */
  value: string;
  /** Words for the moment that is meant if there is none. */
  ifNone: string;
  /** Further choices, by their value in the address. */
  others?: Record<string, string>;
  newest: number;
  deployments: Pinned[];
  choose: (value: string) => void;
}

/** Choose a moment: a version, a time, or what a deployment pinned. */
export function Picker({ label, value, ifNone, others = {}, newest, deployments, choose }: Props) {
  const [opened, setOpened] = useState<string | null>(null);
  const kind = opened ?? kindOf(value, others);

  function pick(chosen: string) {
    setOpened(chosen === "version" || chosen === "time" ? chosen : null);
    if (chosen === "version") choose(String(newest));
    else if (chosen !== "time") choose(chosen);
  }

  return (
    <span className="picker">
      <label>
        {label}{" "}
        <select aria-label={label} value={kind} onChange={(event) => pick(event.target.value)}>
          <option value="">{ifNone}</option>
          {Object.entries(others).map(([name, words]) => (
            <option key={name} value={name}>
              {words}
            </option>
          ))}
          <option value="version">a version …</option>
          <option value="time">a time …</option>
          {deployments.length > 0 && (
            <optgroup label="The plan of a deployment">
              {deployments.map(({ id, number, status, pipelineVersion }) => (
                <option key={id} value={id}>
                  #{number}, {WORDS[status]}, version {pipelineVersion}
                </option>
              ))}
            </optgroup>
          )}
          {value.startsWith("deployment_") && !deployments.some(({ id }) => id === value) && (
            <option value={value}>a deployment</option>
          )}
        </select>
      </label>
      {kind === "version" && (
        <input
          type="number"
          aria-label={`${label}: version`}
          min={1}
          max={newest}
          defaultValue={value}
          key={value}
          onChange={(event) => event.target.validity.valid && event.target.value && choose(event.target.value)}
        />
      )}
      {kind === "time" && (
        <input
          type="datetime-local"
          aria-label={`${label}: time`}
          step={1}
          defaultValue={localTime(value)}
          onChange={(event) => event.target.value && choose(new Date(event.target.value).toISOString())}
        />
      )}
    </span>
  );
}

function kindOf(value: string, others: Record<string, string>): string {
  if (value === "" || value in others) return value;
  if (/^\d+$/.test(value)) return "version";
  return value.startsWith("deployment_") ? value : "time";
}
