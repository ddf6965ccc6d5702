import { useState } from "react";

import { FormDialog } from "../parts/dialog";
import type { Changes } from "./changes";
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
import { AddServiceDialog, EditServiceDialog } from "./service-dialog";
import type { Pipeline, Service, Stage } from "./state";

export type Open =
  | { dialog: "stage" | "environment" }
  | { dialog: "service" | "describe" | "policy" | "delete"; stage: Stage }
  | { dialog: "edit" | "remove"; service: Service };

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
  switch (open.dialog) {
    case "stage":
      return (
        <StageDialog
          close={close}
          save={(name, description) =>
            changes.send(
              {
                document: CREATE_STAGE,
                isInDialog: true,
                variables: { name, description },
                wish: `Creating stage ${name}`,
                done: `Stage ${name} is created.`,
              },
              seen,
            )
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
            changes.send(
              {
                document: EDIT_ENVIRONMENT,
                isInDialog: true,
                variables: { concurrency, policy },
                wish: "Changing the policy of the environment",
                done: "The environment has a new policy.",
              },
              seen,
            )
          }
        />
      );
    case "describe":
      return (
        <DescribeDialog
          stage={open.stage}
          close={close}
          save={(description) =>
            changes.send(
              {
                document: EDIT_STAGE,
                isInDialog: true,
                variables: { stage: open.stage.id, description },
                wish: `Describing stage ${open.stage.name}`,
                done: `${open.stage.name} has a new description.`,
              },
              seen,
            )
          }
        />
      );
    case "policy":
      return (
        <StagePolicyDialog
          stage={open.stage}
          close={close}
          save={(policy) =>
            changes.send(
              {
                document: EDIT_STAGE,
                isInDialog: true,
                variables: { stage: open.stage.id, policy },
                wish: `Changing the policy of ${open.stage.name}`,
                done: `${open.stage.name} has a new policy.`,
              },
              seen,
            )
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
            changes.send(
              {
                document: DELETE_STAGE,
                isInDialog: true,
                variables: { stage: open.stage.id, servicesTo },
                wish: `Deleting stage ${open.stage.name}`,
                done: `Stage ${open.stage.name} is deleted.`,
              },
              seen,
            )
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
            changes.send(
              {
                document: ADD_SERVICE,
                isInDialog: true,
                variables,
                wish: `Adding ${variables.name}`,
                done: `${variables.name} is added.`,
              },
              seen,
            )
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
            changes.send(
              {
                document: EDIT_SERVICE,
                isInDialog: true,
                variables: { service: open.service.id, name, spec },
                wish: `Editing ${open.service.name}`,
                done: `${name} is changed.`,
              },
              seen,
            )
          }
        />
      );
    case "remove":
      return (
        <FormDialog
          title={`Remove ${open.service.name}?`}
          action="Remove"
          isDangerous
          close={close}
          submit={() =>
            changes.send(
              {
                document: REMOVE_SERVICE,
                isInDialog: true,
                variables: { service: open.service.id },
                wish: `Removing ${open.service.name}`,
                done: `${open.service.name} is removed.`,
              },
              seen,
            )
          }
        >
          <p>Later deployments leave it out. The history keeps it, and Undo brings it back.</p>
        </FormDialog>
      );
  }
}
