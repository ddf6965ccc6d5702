import { useState } from "react";

import { PlanDialog } from "../deployment/plan";
import { FormDialog } from "../parts/dialog";
import type { Change, Changes } from "./changes";
import { DeleteStageDialog, DescribeDialog, StageDialog } from "./dialogs";
import {
  ADD_SERVICE,
  CREATE_STAGE,
  DELETE_STAGE,
  EDIT_ENVIRONMENT,
  EDIT_SERVICE,
  EDIT_STAGE,
  REMOVE_SERVICE,
} from "./documents";
import { EnvironmentPolicyDialog, StagePolicyDialog } from "./policy-dialogs";
import { AddServiceDialog, EditServiceDialog, Relations } from "./service-dialog";
import type { Pipeline, Service, Stage } from "./state";

export type Open =
  | { dialog: "stage" | "environment" }
  | { dialog: "service" | "describe" | "policy" | "delete"; stage: Stage }
  | { dialog: "edit" | "remove"; service: Service }
  | { dialog: "act"; action: "restart" | "stop" | "start"; service?: Service };

interface Props {
  open: Open;
  environment: string;
  pipeline: Pipeline;
  changes: Changes;
  close: () => void;
}

/** The dialog that is open, and the change that it makes. */
export function OpenDialog({ open, environment, pipeline, changes, close }: Props) {
  const { environment: settings, stages } = pipeline;
  const [seen] = useState(pipeline.version); // what was changed after it is a conflict
  function send<Variables extends Record<string, unknown>>(change: Change<Variables>): Promise<string | null> {
    return changes.send({ ...change, isInDialog: true }, seen);
  }
  switch (open.dialog) {
    case "stage":
      return (
        <StageDialog
          close={close}
          save={(name, description) =>
            send({
              document: CREATE_STAGE,
              variables: { name, description },
              wish: `Creating stage ${name}`,
              done: `Stage ${name} is created.`,
            })
          }
        />
      );
    case "environment":
      return (
        <EnvironmentPolicyDialog
          concurrency={settings.concurrency}
          policy={settings.policy}
          close={close}
          save={(concurrency, policy) =>
            send({
              document: EDIT_ENVIRONMENT,
              variables: { concurrency, policy },
              wish: "Changing the policy of the environment",
              done: "The environment has a new policy.",
            })
          }
        />
      );
    case "describe":
      return (
        <DescribeDialog
          stage={open.stage}
          close={close}
          save={(description) =>
            send({
              document: EDIT_STAGE,
              variables: { stage: open.stage.id, description },
              wish: `Describing stage ${open.stage.name}`,
              done: `${open.stage.name} has a new description.`,
            })
          }
        />
      );
    case "policy":
      return (
        <StagePolicyDialog
          stage={open.stage}
          close={close}
          save={(policy) =>
            send({
              document: EDIT_STAGE,
              variables: { stage: open.stage.id, policy },
              wish: `Changing the policy of ${open.stage.name}`,
              done: `${open.stage.name} has a new policy.`,
            })
          }
        />
      );
    case "delete":
      return (
        <DeleteStageDialog
          stage={stages.find(({ id }) => id === open.stage.id) ?? open.stage}
          stages={stages}
          close={close}
          remove={(servicesTo) =>
            send({
              document: DELETE_STAGE,
              variables: { stage: open.stage.id, servicesTo },
              wish: `Deleting stage ${open.stage.name}`,
              done: `Stage ${open.stage.name} is deleted.`,
            })
          }
        />
      );
    case "service":
      return (
        <AddServiceDialog
          stage={open.stage}
          stages={stages}
          close={close}
          save={(variables) =>
            send({
              document: ADD_SERVICE,
              variables,
              wish: `Adding ${variables.name}`,
              done: `${variables.name} is added.`,
            })
          }
        />
      );
    case "edit":
      return (
        <EditServiceDialog
          environment={environment}
          service={open.service}
          close={close}
          save={(name, spec) =>
            send({
              document: EDIT_SERVICE,
              variables: { service: open.service.id, name, spec },
              wish: `Editing ${open.service.name}`,
              done: `${name} is changed.`,
            })
          }
        />
      );
    case "act":
      return <PlanDialog action={open.action} of={environment} service={open.service} environment={environment} close={close} />;
    case "remove":
      return (
        <FormDialog
          title={`Remove ${open.service.name}?`}
          action="Remove"
          isDangerous
          close={close}
          submit={() =>
            send({
              document: REMOVE_SERVICE,
              variables: { service: open.service.id },
              wish: `Removing ${open.service.name}`,
              done: `${open.service.name} is removed.`,
            })
          }
        >
          <p>Later deployments leave it out. The history keeps it, and Undo brings it back.</p>
          <Relations service={open.service} />
        </FormDialog>
      );
  }
}
