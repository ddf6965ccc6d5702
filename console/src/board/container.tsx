/** The container of a service, from and to the fields of a form. Lists have one item on each line. */
import type { Spec, SpecInput } from "./spec";

type Container = NonNullable<SpecInput["container"]>;

/** The end of a mount that the container can't write to. */
const READ_ONLY = ":ro";

export function ContainerFields({ spec, isBuilt }: { spec: Spec | null; isBuilt: boolean }) {
  const container = spec?.container;
  return (
    <details>
      <summary>Container</summary>
      <Lines name="entrypoint" label="Program and arguments in place of the image's entrypoint" items={container?.entrypoint} />
      <Lines name="command" label="Arguments in place of the image's command" items={container?.command} />
      <Lines
        name="publish"
        label="Published ports of the machine: index of the port=[address:]port"
        items={container?.publish.map((each) => `${each.portIndex}=${each.address ? `[${each.address}]:` : ""}${each.hostPort}`)}
      />
      <Lines
        name="volumes"
        label="Volumes: name:/path, with :ro only to read"
        items={container?.volumes.map((each) => `${each.name}:${each.path}${each.readOnly ? READ_ONLY : ""}`)}
      />
      <Lines
        name="binds"
        label="Folders and files of the machine: /source:/path, with :ro only to read"
        items={container?.binds.map((each) => `${each.source}:${each.path}${each.readOnly ? READ_ONLY : ""}`)}
      />
      <Lines
        name="labels"
        label="Labels: name=value"
        items={container?.labels.map((each) => `${each.name}=${each.value}`)}
      />
      <Text name="workdir" label="Folder in which it starts" value={container?.workingDirectory} placeholder="/app" />
      <div className="pair">
        <Text name="user" label="User" value={container?.user} />
        <Text name="platform" label="Platform" value={container?.platform} placeholder="linux/arm64" />
      </div>
      <div className="pair">
        <Amount name="memory" label="Memory in MiB" value={container?.memoryMib} step="1" />
        <Amount name="cpus" label="Processors" value={container?.cpus} step="any" />
      </div>
      <div className="pair">
        <Amount name="memory-request" label="Memory that it keeps, in MiB" value={container?.memoryRequestMib} step="1" />
        <Amount name="cpus-request" label="Processors that it keeps" value={container?.cpusRequest} step="any" />
      </div>
      <div className="pair">
        <Amount name="shared-memory" label="Size of /dev/shm in MiB" value={container?.sharedMemoryMib} step="1" />
        <label>
          Instances side by side
          <input name="replicas" type="number" min={1} max={100} required defaultValue={container?.replicas ?? 1} />
        </label>
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
  value: string | null | undefined;
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

/** Return the container that *form* has the fields of; *before* is the one that the fields were filled from. */
export function readContainer(form: FormData, before: Container | undefined): Container {
  const text = (name: string) => String(form.get(name) ?? "").trim();
  const lines = (name: string) => text(name).split("\n").filter((line) => line.trim());
  const number = (name: string) => (text(name) ? Number(text(name)) : null);
  const texts = (name: "entrypoint" | "command"): string[] => {
    const now = String(form.get(name));
    const known = before?.[name] ?? [];
    return now === known.join("\n") ? known : now.split("\n").filter(Boolean); // an argument may have lines
  };
  return {
    entrypoint: texts("entrypoint"),
    command: texts("command"),
    workingDirectory: text("workdir") || null,
    user: text("user") || null,
    pull: (text("pull") || "MISSING") as Container["pull"],
    publish: lines("publish").map((line) => {
      const [index, address] = pair(line, "=");
      const at = address.lastIndexOf(":");
      const host = address.slice(0, Math.max(at, 0)).replace(/^\[|\]$/g, "");
      return { portIndex: Number(index), hostPort: Number(address.slice(at + 1)), address: host || null };
    }),
    volumes: lines("volumes").map((line) => {
      const [name, mount] = pair(line, ":");
      return { name, ...mounted(mount) };
    }),
    binds: lines("binds").map((line) => {
      const [source, mount] = pair(line, ":");
      return { source, ...mounted(mount) };
    }),
    labels: lines("labels").map(named),
    memoryMib: number("memory"),
    memoryRequestMib: number("memory-request"),
    cpus: number("cpus"),
    cpusRequest: number("cpus-request"),
    sharedMemoryMib: number("shared-memory"),
    replicas: Number(text("replicas")),
    buildArgs: lines("build-args").map(named),
    buildTarget: text("build-target") || null,
    platform: text("platform") || null,
  };
}

function named(line: string): { name: string; value: string } {
  const [name, value] = pair(line, "=");
  return { name, value };
}

function mounted(text: string): { path: string; readOnly: boolean } {
  const readOnly = text.trim().endsWith(READ_ONLY);
  return { path: readOnly ? text.trim().slice(0, -READ_ONLY.length) : text, readOnly };
}

function pair(line: string, mark: string): [string, string] {
  const at = line.indexOf(mark);
  return at < 0 ? [line, ""] : [line.slice(0, at), line.slice(at + 1)];
}
