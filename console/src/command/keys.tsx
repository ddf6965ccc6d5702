import { useState } from "react";

import { Dialog } from "../parts/dialog";
import { commands, singleKeys } from "./commands";
import "./command.css";

/** The keys that do something on this page. */
export function KeySheet({ close }: { close: () => void }) {
  const [offered] = useState(() => commands().filter(({ key }) => key));
  const [areOn, setOn] = useState(singleKeys.areOn);
  const groups = [...new Set(offered.map(({ group }) => group))];
  return (
    <Dialog title="Keys" className="keys" close={close}>
      <div className="body">
        {groups.map((group) => (
          <section key={group}>
            <h3>{group}</h3>
            <dl>
              {offered
                .filter((command) => command.group === group)
                .map(({ label, key }) => (
                  <div key={label}>
                    <dt>
                      {key!.split(" ").map((each) => (
                        <kbd key={each}>{each}</kbd>
                      ))}
                    </dt>
                    <dd>{label}</dd>
                  </div>
                ))}
            </dl>
          </section>
        ))}
        <label className="check">
          <input
            type="checkbox"
            checked={areOn}
            onChange={(event) => {
              singleKeys.turn(event.target.checked);
              setOn(event.target.checked);
            }}
          />
          Single keys do something. Turn them off if you speak to your computer.
        </label>
        <div className="actions">
          <button data-first onClick={close}>
            Close
          </button>
        </div>
      </div>
    </Dialog>
  );
}
