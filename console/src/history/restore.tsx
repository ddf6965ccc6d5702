import { useEffect, useState } from "react";

import { message } from "../api/client";
import { useApi } from "../api/context";
import { newKey } from "../api/key";
import type { ResultOf } from "../graphql";
import { FormDialog } from "../parts/dialog";
import { Reason, reasonOf } from "../parts/fields";
import { show } from "../parts/notice";
import { COMPARED, RESTORE } from "./documents";

interface Props {
  environment: string;
  version: number;
  newest: number;
  done: () => void;
  close: () => void;
}

type Answer = ResultOf<typeof RESTORE>["restorePipeline"];
type Trial = { since: number; isChange: boolean; messages: string[] };

/** Restore a version: first a dry run with the changes that it makes, then the restore itself. */
export function RestoreDialog({ environment, version, newest, done, close }: Props) {
  const api = useApi();
  const [trial, setTrial] = useState<Trial | null>(null);
  const [refusal, setRefusal] = useState("");
  const [since, setSince] = useState(newest);
  const [key] = useState(newKey);

  useEffect(() => {
    let isOver = false;
    async function attempt() {
      const variables = { environment, version, since, reason: null, key: newKey(), isDry: true };
      const { restorePipeline: answer } = await api.mutate(RESTORE, variables);
      if (isOver) return;
      if (answer.__typename === "Refusal") return refuse(answer);
      const moments = { environment, from: { version: since }, to: { version } };
      const { pipelineDiff } = await api.query(COMPARED, moments);
      if (!pipelineDiff) throw new Error("The pipeline could not be compared.");
      const messages = pipelineDiff.differences.map(({ change }) => change.message);
      if (!isOver) setTrial({ since, isChange: answer.changed, messages });
    }
    attempt().catch((fault: unknown) => isOver || setRefusal(message(fault)));
    return () => {
      isOver = true;
    };
  }, [api, environment, version, since]);

  /** Say why; if the pipeline has changed meanwhile, try again with the newest version. */
  function refuse(answer: Extract<Answer, { __typename: "Refusal" }>) {
    if (answer.code === "VERSION_MISMATCH" && answer.currentVersion) {
      const others = answer.events.map(({ actor, message }) => `${actor.name ?? actor.id}: ${message}`);
      setRefusal(`Somebody changed the pipeline meanwhile. ${others.join("; ")}`);
      setTrial(null);
      setSince(answer.currentVersion);
    } else setRefusal(answer.message);
  }

  async function restore(form: FormData): Promise<string | null> {
    const variables = { environment, version, since, reason: reasonOf(form), key: `${key}-${since}`, isDry: false };
    const { restorePipeline: answer } = await api.mutate(RESTORE, variables);
    if (answer.__typename === "Refusal") {
      refuse(answer);
      return "";
    }
    show({ text: `Version ${version} is restored; it is version ${answer.pipeline?.version ?? answer.snapshot?.version} now.` });
    done();
    return null;
  }

  return (
    <FormDialog
      title={`Restore version ${version}?`}
      action="Restore"
      isDisabled={!trial?.isChange}
      close={close}
      submit={restore}
    >
      {refusal && (
        <p role="alert" className="refusal">
          {refusal}
        </p>
      )}
      {!trial && !refusal && <p className="soft">Trying it out …</p>}
      {trial && !trial.isChange && <p>The pipeline is like this already.</p>}
      {trial?.isChange && (
        <>
          <p>
            Version {trial.since} will change as follows. The history keeps everything, so you can come back.
          </p>
          <ul className="trial" aria-label="Changes" tabIndex={0}>
            {trial.messages.map((each, index) => (
              <li key={index}>
                <bdi>{each}</bdi>
              </li>
            ))}
          </ul>
        </>
      )}
      <Reason />
    </FormDialog>
  );
}
