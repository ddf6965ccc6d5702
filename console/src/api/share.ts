/** Return *next* with every part that is alike taken from *previous*, so that memoised components are not drawn again. */
export function share<Value>(previous: Value | undefined, next: Value): Value {
  if (Object.is(previous, next) || !isObject(previous) || !isObject(next)) return next;
  if (Array.isArray(next) !== Array.isArray(previous)) return next;
  if (Array.isArray(next)) {
    const known = new Map((previous as unknown[]).map((each, at) => [keyOf(each, at), each]));
    return whole(previous, next.map((each, at) => share(known.get(keyOf(each, at)), each)) as Value);
  }
  const shared = Object.entries(next).map(([name, value]) => [name, share((previous as Record<string, unknown>)[name], value)]);
  return whole(previous, Object.fromEntries(shared) as Value);
}

/** Return *previous* if *shared* has exactly its parts, in their order. */
function whole<Value>(previous: Value & object, shared: Value): Value {
  const one = Object.values(previous);
  const other = Object.values(shared as object);
  return one.length === other.length && one.every((each, at) => each === other[at]) ? previous : shared;
}

function keyOf(value: unknown, at: number): unknown {
  return isObject(value) && "id" in value ? value.id : at;
}

function isObject(value: unknown): value is object {
  return typeof value === "object" && value !== null;
}
