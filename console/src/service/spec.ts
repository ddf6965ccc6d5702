/** The specification of a service, from a form whose fields have the paths of the schema as names. */
import type { ResultOf, VariablesOf } from "../graphql";
import type { ADD_SERVICE, SERVICE } from "./documents";

export type Spec = NonNullable<ResultOf<typeof SERVICE>["service"]>["spec"];
export type SpecInput = NonNullable<VariablesOf<typeof ADD_SERVICE>["spec"]>;
export type ServiceType = VariablesOf<typeof ADD_SERVICE>["type"];

export type Source = "command" | "image" | "context" | "none";
export type Check = "none" | "http" | "tcp" | "command";

/** Return the source of *spec*. */
export function sourceOf(spec: Spec | null): Source {
  if (!spec) return "command";
  if (spec.image !== null) return "image";
  if (spec.context !== null) return "context";
  return spec.run !== null || spec.directory !== null || spec.build.length > 0 ? "command" : "none";
}

export function checkOf(spec: Spec | null): Check {
  if (!spec?.health) return "none";
  return spec.health.http ? "http" : spec.health.tcp ? "tcp" : "command";
}

/** Read the specification; fields that are empty or missing get the server's defaults. */
export function readSpec(form: FormData): SpecInput {
  const text = (name: string) => String(form.get(name) ?? "");
  const line = (name: string) => text(name).trim() || null;
  const all = (name: string) => form.getAll(name).map(String);
  function number<Name extends string>(path: string, name: Name): { [key in Name]?: number } {
    const value = text(path).trim();
    return value === "" ? {} : ({ [name]: Number(value) } as { [key in Name]: number });
  }
  const values = all("env.value");
  return {
    image: line("image"),
    context: line("context"),
    dockerfile: line("dockerfile"),
    directory: line("directory"),
    build: all("build").filter((command) => command.trim()),
    run: text("run").trim() ? text("run") : null,
    env: all("env.name").flatMap((name, index) => (name ? [{ name, value: values[index] ?? "" }] : [])),
    ports: text("ports").split(/[\s,]+/).filter(Boolean).map(Number),
    health: readHealth(),
    ...number("buildTimeout", "buildTimeout"),
    ...number("deployTimeout", "deployTimeout"),
    ...number("stopGrace", "stopGrace"),
    ...number("retries", "retries"),
    backoff: {
      ...number("backoff.initial", "initial"),
      ...number("backoff.factor", "factor"),
      ...number("backoff.max", "max"),
      ...number("backoff.jitter", "jitter"),
    },
    allowFailure: form.has("allowFailure"),
  };

  function readHealth(): SpecInput["health"] {
    const check = text("check") as Check;
    if (check === "none") return null;
    return {
      http: check === "http" ? { path: text("health.http.path") || "/", ...number("health.http.port", "port") } : null,
      tcp: check === "tcp" ? number("health.tcp.port", "port") : null,
      command: check === "command" ? text("health.command") : null,
      ...number("health.interval", "interval"),
      ...number("health.timeout", "timeout"),
      ...number("health.startPeriod", "startPeriod"),
    };
  }
}
