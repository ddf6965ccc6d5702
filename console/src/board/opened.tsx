import { AddServiceDialog, EditServiceDialog, RemoveServiceDialog } from "../service/dialogs";
import { ADD_SERVICE, EDIT_SERVICE, REMOVE_SERVICE } from "../service/documents";
import type { Open } from "./actions";
import type { Changes } from "./changes";
import { DeleteStageDialog, DescribeDialog, StageDialog } from "./dialogs";
import { CREATE_STAGE, DELETE_STAGE, EDIT_STAGE } from "./documents";
import type { Stage } from "./state";

interface Props {
  open: Open;
  environment: string;
  stages: Stage[];
  changes: Changes;
  close: () => void;
}

/** The dialog that is open; it stays so until the server accepts the change. */
export function Opened({ open, environment, stages, changes, close }: Props) {
  switch (open.dialog) {
    case "stage":
      return (
        <StageDialog
          close={close}
          save={(name, description) =>
            changes.send({
              document: CREATE_STAGE,
              isInDialog: true,
              variables: { name, description },
              wish: `Creating stage ${name}`,
              done: `Stage ${name} is created.`,
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
            changes.send({
              document: EDIT_STAGE,
              isInDialog: true,
              variables: { stage: open.stage.id, description },
              wish: `Describing stage ${open.stage.name}: ${description || "no description"}`,
              done: `${open.stage.name} has a new description.`,
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
            changes.send({
              document: DELETE_STAGE,
              isInDialog: true,
              variables: { stage: open.stage.id, servicesTo },
              wish: `Deleting stage ${open.stage.name}`,
              done: `Stage ${open.stage.name} is deleted.`,
            })
          }
        />
      );
    case "add":
      return (
        <AddServiceDialog
          stage={open.stage}
          stages={stages}
          close={close}
          save={(variables) =>
            changes.send({
              document: ADD_SERVICE,
              isInDialog: true,
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
          save={(name, spec, since) =>
            changes.send(
              {
                document: EDIT_SERVICE,
                isInDialog: true,
                variables: { service: open.service.id, name, spec },
                wish: `Editing ${open.service.name}`,
                done: `${name} is saved.`,
              },
              since,
            )
          }
        />
      );
    case "remove":
      return (
        <RemoveServiceDialog
          service={open.service}
          close={close}
          remove={() =>
            changes.send({
              document: REMOVE_SERVICE,
              isInDialog: true,
              variables: { service: open.service.id },
              wish: `Removing ${open.service.name}`,
              done: `${open.service.name} is removed.`,
            })
          }
        />
      );
  }
}
