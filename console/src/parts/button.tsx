import type { ComponentProps } from "react";

import { useRights, type Role } from "../session/rights";

/** A button for what needs a role here; without the role it is disabled, and its title says why. */
export function RoleButton({ needs, disabled, title, ...others }: ComponentProps<"button"> & { needs: Role }) {
  const refusal = useRights().refusal(needs);
  return <button {...others} disabled={disabled || refusal !== null} title={refusal ?? title} />;
}
