interface Grant {
  role: string;
  projectId: string | null;
  environmentId: string | null;
  project: { name: string } | null;
  environment: { name: string } | null;
}

/** Return the place of a role in words. */
export function placeWords({ projectId, environmentId, project, environment }: Grant): string {
  if (projectId === null) return "everything";
  const name = project?.name ?? "a project";
  return environmentId === null ? name : `${name} / ${environment?.name ?? "an environment"}`;
}

/** Return a role with its place in words, as "deployer of Shop / staging". */
export function grantWords(grant: Grant): string {
  return `${grant.role.toLowerCase()} of ${placeWords(grant)}`;
}
