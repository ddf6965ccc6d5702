/** Return the parameters of an address with other *values*; an empty one is removed. */
export function changed(parameters: URLSearchParams, values: Record<string, string | number | null>): URLSearchParams {
  const next = new URLSearchParams(parameters);
  for (const [name, value] of Object.entries(values)) {
    if (value) next.set(name, String(value));
    else next.delete(name);
  }
  return next;
}
