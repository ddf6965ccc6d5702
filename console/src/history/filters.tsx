import { useQuery } from "../api/context";
import { useTyped } from "../parts/typed";
import { EVERYTHING, useRights } from "../session/rights";
import { FILTERS, type Address, type Filter } from "./address";
import { CHOICES } from "./documents";
import { ORIGINS, TYPES } from "./words";

/** The filters of the history, each of which is in the address. */
export function Filters({ environment, address }: { environment: string; address: Address }) {
  const withActors = useRights(EVERYTHING).refusal("VIEWER") === null;
  const [choices] = useQuery(CHOICES, { environment, withActors });
  const actors = choices.data?.actors?.nodes ?? [];
  const stages = choices.data?.pipeline?.stages ?? [];
  const set = (name: Filter) => (value: string) => address.set({ [name]: value });
  const isFiltered = FILTERS.some((name) => address.get(name));
  const parts = [
    ...stages.map(({ id, name }) => [`stage:${id}`, name] as const),
    ...stages.flatMap(({ services }) => services).map(({ id, name }) => [`service:${id}`, name] as const),
  ];

  return (
    <div className="filters" role="search" aria-label="Filter the changes">
      <h2>Changes</h2>
      <Search text={address.get("text")} search={set("text")} />
      <Choice
        label="Made by"
        any="by anybody"
        value={address.get("actor")}
        choose={set("actor")}
        options={actors.map(({ id, name }) => [id, name ?? id])}
      />
      <Choice
        label="Kind of change"
        any="any change"
        value={address.get("type")}
        choose={set("type")}
        options={Object.entries(TYPES)}
      />
      <Choice
        label="Stage or service"
        any="of any part"
        value={address.get("part")}
        choose={set("part")}
        options={parts}
      />
      <Choice
        label="Made with"
        any="made with anything"
        value={address.get("origin")}
        choose={set("origin")}
        options={Object.entries(ORIGINS).map(([origin, words]) => [origin, `made with ${words}`])}
      />
      <label>
        from <input type="date" value={address.get("since")} onChange={(event) => set("since")(event.target.value)} />
      </label>
      <label>
        to <input type="date" value={address.get("until")} onChange={(event) => set("until")(event.target.value)} />
      </label>
      {isFiltered && (
        <button onClick={() => address.set(Object.fromEntries(FILTERS.map((name) => [name, ""])))}>Clear</button>
      )}
    </div>
  );
}

interface ChoiceProps {
  label: string;
  any: string;
  value: string;
  options: (readonly [value: string, words: string])[];
  choose: (value: string) => void;
}

function Choice({ label, any, value, options, choose }: ChoiceProps) {
  const isKnown = value === "" || options.some(([each]) => each === value);
  return (
    <select aria-label={label} value={value} onChange={(event) => choose(event.target.value)}>
      <option value="">{any}</option>
      {!isKnown && <option value={value}>{value}</option>}
      {options.map(([each, words]) => (
        <option key={each} value={each}>
          {words}
        </option>
      ))}
    </select>
  );
}

function Search({ text, search }: { text: string; search: (text: string) => void }) {
  const [typed, setTyped] = useTyped(text, search);
  return (
    <input
      type="search"
      aria-label="Search the history"
      placeholder="Search"
      value={typed}
      onChange={(event) => setTyped(event.target.value)}
    />
  );
}
