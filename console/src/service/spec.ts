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
  if (spec.buildContext !== null) return "context";
  return spec.runCommand !== null || spec.workingDirectory !== null || spec.buildCommands.length > 0 ? "command" : "none";
}

export function checkOf(spec: Spec | null): Check {
  if (!spec?.healthCheck) return "none";
  return spec.healthCheck.http ? "http" : spec.healthCheck.tcp ? "tcp" : "command";
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
    buildContext: line("buildContext"),
    dockerfile: line("dockerfile"),
    workingDirectory: line("workingDirectory"),
    buildCommands: all("buildCommands").filter((command) => command.trim()),
    runCommand: text("runCommand").trim() ? text("runCommand") : null,
    env: all("env.name").flatMap((name, index) => (name ? [{ name, value: values[index] ?? "" }] : [])),
    ports: text("ports").split(/[\s,]+/).filter(Boolean).map(Number),
    healthCheck: readHealth(),
    ...number("buildTimeoutSeconds", "buildTimeoutSeconds"),
    ...number("deployTimeoutSeconds", "deployTimeoutSeconds"),
    ...number("stopGraceSeconds", "stopGraceSeconds"),
    ...number("retries", "retries"),
    backoff: {
      ...number("backoff.initialSeconds", "initialSeconds"),
      ...number("backoff.factor", "factor"),
      ...number("backoff.maxSeconds", "maxSeconds"),
      ...number("backoff.jitter", "jitter"),
    },
    allowFailure: form.has("allowFailure"),
  };

  function readHealth(): SpecInput["healthCheck"] {
    const check = text("check") as Check;
    if (check === "none") return null;
    return {
      http: check === "http" ? { path: text("healthCheck.http.path") || "/", ...number("healthCheck.http.portIndex", "portIndex") } : null,
      tcp: check === "tcp" ? number("healthCheck.tcp.portIndex", "portIndex") : null,
      command: check === "command" ? text("healthCheck.command") : null,
      ...number("healthCheck.intervalSeconds", "intervalSeconds"),
      ...number("healthCheck.timeoutSeconds", "timeoutSeconds"),
      ...number("healthCheck.startPeriodSeconds", "startPeriodSeconds"),
    };
  }
}
