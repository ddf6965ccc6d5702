import { TYPES } from "../board/card";
import type { Past } from "./past";

/** The board as it was, with the changed parts marked. */
export function SnapshotBoard({ past }: { past: Past }) {
  const { snapshot, differences } = past;
  const changed = new Set(differences.map(({ change }) => change.service?.serviceId ?? change.stage?.stageId));
  const mark = (id: string) => (changed.has(id) ? " changed" : "");
  const said = (id: string) => changed.has(id) && <span className="said">, changed</span>;
  return (
    <ol className="snapshot" aria-label={`Stages of version ${snapshot.version}`} tabIndex={0}>
      {snapshot.stages.map(({ stageId, position, name, description, services }) => (
        <li key={stageId} className={`stage${mark(stageId)}`}>
          <h3>
            <span className="position">{position}</span> <bdi>{name}</bdi>
            {said(stageId)}
          </h3>
          {description && (
            <p className="soft">
              <bdi>{description}</bdi>
            </p>
          )}
          <ul>
            {services.map(({ serviceId, name, type, isSkipped }) => (
              <li key={serviceId} className={mark(serviceId).trim() || undefined}>
                <bdi title={name}>{name}</bdi>
                {said(serviceId)}
                <small>
                  {TYPES[type]}
                  {isSkipped && ", skipped"}
                </small>
              </li>
            ))}
            {services.length === 0 && <li className="none">No services</li>}
          </ul>
        </li>
      ))}
    </ol>
  );
}
