/** How a service runs as a container, in a form. Lists have one item on each line. */
import type { Spec, SpecInput } from "./spec";

type Container = NonNullable<SpecInput["container"]>;

export function ContainerFields({ spec, isBuilt }: { spec: Spec | null; isBuilt: boolean }) {
  const container = spec?.container;
  const command = container?.command ?? [];
  return (
    <details>
      <summary>Container</summary>
      <Lines name="command" label="Arguments in place of the image's command" items={command} />
      <input type="hidden" name="command-before" value={JSON.stringify(command)} />
      <Lines
        name="publish"
        label="Published ports of the machine: index of the port=[address:]port"
        items={container?.publish.map((each) => `${each.portIndex}=${each.address ? `[${each.address}]:` : ""}${each.hostPort}`)}
      />
      <Lines
        name="volumes"
        label="Volumes: name:/path"
        items={container?.volumes.map((each) => `${each.name}:${each.path}`)}
      />
      <div className="pair">
        <Text name="user" label="User" value={container?.user} />
        <Text name="platform" label="Platform" value={container?.platform} placeholder="linux/arm64" />
      </div>
      <div className="pair">
        <Amount name="memory" label="Memory in MiB" value={container?.memoryMib} step="1" />
        <Amount name="cpus" label="Processors" value={container?.cpus} step="any" />
      </div>
      {isBuilt ? (
        <>
          <Lines
            name="build-args"
            label="Build arguments: name=value"
            items={container?.buildArgs.map((each) => `${each.name}=${each.value}`)}
          />
          <Text name="build-target" label="Stage of the Dockerfile" value={container?.buildTarget} />
        </>
      ) : (
        <label>
          The image is pulled
          <select name="pull" defaultValue={container?.pull ?? "MISSING"}>
            <option value="MISSING">if it is missing</option>
            <option value="ALWAYS">at each deployment</option>
            <option value="NEVER">never</option>
          </select>
        </label>
      )}
    </details>
  );
}

function Lines({ name, label, items }: { name: string; label: string; items: string[] | undefined }) {
  return (
    <label>
      {label}
      <textarea name={name} rows={1} defaultValue={items?.join("\n")} />
    </label>
  );
}

interface TextProps {
  name: string;
  label: string;
  value: string | number | null | undefined;
  placeholder?: string;
}

function Text({ name, label, value, placeholder }: TextProps) {
  return (
    <label>
      {label}
      <input name={name} autoComplete="off" placeholder={placeholder} defaultValue={value ?? ""} />
    </label>
  );
}

/** A field of a number, in which the browser takes nothing else: a limit that is no number is never left out. */
function Amount({ name, label, value, step }: { name: string; label: string; value: number | null | undefined; step: string }) {
  return (
    <label>
      {label}
      <input name={name} type="number" min={0} step={step} placeholder="no limit" defaultValue={value ?? ""} />
    </label>
  );
}

/** Return why a line of the published ports in *form* can't be read; null if each can. */
export function misread(form: FormData): string | null {
  const lines = String(form.get("publish") ?? "").split("\n").map((line) => line.trim());
  const wrong = lines.find((line) => line && !/^\d+=(\S+:)?\d+$/.test(line));
  return wrong === undefined ? null : `Invalid published port "${wrong}": one is "0=8080" or "0=[127.0.0.1]:8080".`;
}

/** Return what *form* says of the container. */
export function readContainer(form: FormData): Container {
  const text = (name: string) => String(form.get(name) ?? "").trim();
  const lines = (name: string) => text(name).split("\n").filter((line) => line.trim());
  const number = (name: string) => (text(name) ? Number(text(name)) : null);
  const before: string[] = JSON.parse(text("command-before") || "[]");
  const command = String(form.get("command") ?? "").replaceAll("\r\n", "\n");
  return {
    command: command === before.join("\n") ? before : command.split("\n").filter(Boolean), // an argument may have lines
    user: text("user") || null,
    pull: (text("pull") || "MISSING") as Container["pull"],
    publish: lines("publish").map((line) => {
      const [index, address] = pair(line, "=");
      const at = address.lastIndexOf(":");
      const host = address.slice(0, Math.max(at, 0)).replace(/^\[|\]$/g, "");
      return { portIndex: Number(index), hostPort: Number(address.slice(at + 1)), address: host || null };
    }),
    volumes: lines("volumes").map((line) => ({ name: pair(line, ":")[0], path: pair(line, ":")[1] })),
    memoryMib: number("memory"),
    cpus: number("cpus"),
    buildArgs: lines("build-args").map((line) => ({ name: pair(line, "=")[0], value: pair(line, "=")[1] })),
    buildTarget: text("build-target") || null,
    platform: text("platform") || null,
  };
}

function pair(line: string, mark: string): [string, string] {
  const at = line.indexOf(mark);
  return at < 0 ? [line, ""] : [line.slice(0, at), line.slice(at + 1)];
}
