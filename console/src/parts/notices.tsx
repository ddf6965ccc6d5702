import { useSyncExternalStore } from "react";

import { current, dismiss, spoken, subscribe } from "./notice";
import "./notices.css";

export function Notices() {
  const notices = useSyncExternalStore(subscribe, current);
  const said = useSyncExternalStore(subscribe, spoken);
  return (
    <>
      <ul className="notices" aria-label="Notices">
        {notices.map(({ id, text, isRefusal, offer }) => (
          <li key={id} className={isRefusal ? "bad" : undefined}>
            <span>{text}</span>
            {offer && (
              <button
                onClick={() => {
                  dismiss(id);
                  offer.action();
                }}
              >
                {offer.label}
              </button>
            )}
            <button className="dots" aria-label="Close the notice" onClick={() => dismiss(id)}>
              <span aria-hidden="true">✕</span>
            </button>
          </li>
        ))}
      </ul>
      <div aria-live="assertive" className="said" data-said>
        {said}
      </div>
    </>
  );
}
