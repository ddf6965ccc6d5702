/** The specification of a service, from and to the fields of a form. */
import type { ResultOf, VariablesOf } from "../graphql";
import { readContainer } from "./container";
import type { ADD_SERVICE, SERVICE } from "./documents";

export type Spec = NonNullable<ResultOf<typeof SERVICE>["service"]>["spec"];
export type SpecInput = NonNullable<VariablesOf<typeof ADD_SERVICE>["spec"]>;
export type Source = "command" | "image" | "dockerfile";
export type Check = "none" | "http" | "tcp" | "command";

export function sourceOf(spec: Spec | null): Source {
  if (spec?.image) return "image";
  return spec?.buildContext ? "dockerfile" : "command";
}

export function checkOf(spec: Spec | null): Check {
  if (!spec?.healthCheck) return "none";
  if (spec.healthCheck.http) return "http";
  return spec.healthCheck.tcp ? "tcp" : "command";
}

/**
 * Return the specification that *form* has the fields of; *before* is the one that the fields were filled from.
 *
 * A job has no *check*, and nothing that keeps it running.
 */
export function read(form: FormData, source: Source, check: Check | null, before: Spec | null): SpecInput {
  const text = (name: string) => String(form.get(name) ?? "").trim();
  const number = (name: string) => Number(text(name));
  const texts = (name: string) => form.getAll(name).map(String);
  const values = texts("value");
  const sources: Record<Source, SpecInput> = {
    command: { runCommand: text("run"), workingDirectory: text("directory") || null, buildCommands: texts("build").filter(Boolean) },
    image: { image: text("image") },
    dockerfile: { buildContext: text("context"), dockerfile: text("dockerfile") || null },
  };
  const portIndex = number("health-port");
  const checks = {
    http: { http: { path: text("health-path") || "/", portIndex } },
    tcp: { tcp: { portIndex } },
    command: { command: text("health-command") },
  };
  const places = texts("also-port");
  const further = texts("also").map((kind, at) => {
    const target = texts("also-target")[at]!.trim();
    if (kind === "command") return { command: target };
    return kind === "http" ? { http: { path: target || "/", portIndex: Number(places[at]) } } : { tcp: { portIndex: Number(places[at]) } };
  });
  const times = {
    intervalSeconds: number("interval"),
    timeoutSeconds: number("timeout"),
    startPeriodSeconds: number("start-period"),
    watchIntervalSeconds: number("watch"),
    failureThreshold: number("failures"),
  };
  const backoff = (of: string) => ({
    initialSeconds: number(`${of}initial`),
    factor: number(`${of}factor`),
    maxSeconds: number(`${of}max`),
    jitter: number(`${of}jitter`) / 100,
  });
  return {
    ...sources[source],
    ports: text("ports").split(/[\s,]+/).filter(Boolean).map(Number),
    env: texts("variable").flatMap((name, at) => (name.trim() ? [{ name: name.trim(), value: values[at]! }] : [])),
    healthCheck: check === null || check === "none" ? null : { ...checks[check], also: further, ...times },
    buildTimeoutSeconds: number("build-timeout"),
    deployTimeoutSeconds: number("deploy-timeout"),
    stopGraceSeconds: number("stop-grace"),
    stopSignal: text("stop-signal") as Spec["stopSignal"],
    stopFirst: form.has("stop-first"),
    ...(check !== null && {
      restart: text("restart") as Spec["restart"],
      restartBackoff: backoff("restart-"),
      restartLimit: number("restart-limit"),
      restartWindowSeconds: number("restart-window"),
    }),
    retries: number("retries"),
    backoff: backoff(""),
    allowFailure: form.has("allow-failure"),
    once: form.has("once"),
    container: source === "command" ? null : readContainer(form, before?.container),
  };
}
