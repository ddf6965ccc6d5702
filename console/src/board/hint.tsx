import { useEffect, useState } from "react";

import { say } from "../parts/notice";
import type { Actions, Wish } from "./actions";
import { serviceConsequence, stageConsequence } from "./order";
import type { Stage } from "./state";

interface Props {
  wish: Wish;
  stages: Stage[];
  actions: Actions;
}

/** The consequence of a drop. Where the server would refuse it, its words say which move would mend that. */
export function Hint({ wish, stages, actions }: Props) {
  const { text, isRefused } = wish.service
    ? serviceConsequence(stages, wish.service, wish.target)
    : stageConsequence(stages, wish.stage.id, wish.target.position);
  const [refusal, setRefusal] = useState<string | null>(null);

  useEffect(() => {
    setRefusal(null);
    if (!isRefused) return;
    let isOver = false;
    void actions.refusal(wish).then((why) => {
      if (isOver || why === null) return;
      setRefusal(why);
      say(why);
    });
    return () => {
      isOver = true;
    };
  }, [actions, isRefused, wish.service?.id, wish.stage?.id, wish.target.id]);

  return (
    <p className={isRefused ? "hint refusal" : "hint"}>
      {isRefused && <strong>This move would be refused. </strong>}
      <bdi>{refusal ?? text}</bdi>
    </p>
  );
}
