/** What a bundle says of itself, and what it asks the host for. */
import { usePath } from "../../api/queries";
import type { Bundle, Manifest } from "../../api/types";
import { formatBytes } from "../../format/numbers";
import { formatDateTime, formatDuration } from "../../format/times";
import { KeyValues, Panel } from "../../ui/parts";
import { Shown } from "../../ui/states";

export function ManifestView({ bundle }: { bundle: Bundle }) {
  const manifest = usePath<Manifest>(`/jars/${encodeURIComponent(bundle.id)}/manifest`, { pollMs: false });
  return (
    <Panel title={bundle.name} testid="manifest" aside={<span className="dim small">uploaded {formatDateTime(bundle.uploaded)}</span>}>
      <Shown of={manifest} what="Manifest">
        {(found) => (
          <div className="stack">
            <KeyValues entries={[
              ["Application", `${found.name} ${found.version}`],
              ...(found.sdk === null ? [] : [["SDK", found.sdk] as [string, string]]),
              ["Entries", found.entries.map(({ name, description }) => (description ? `${name}: ${description}` : name)).join(", ") || "stated in the manifest"],
              ...Object.entries(found.options).map(([key, value]): [string, string] => [key, value]),
              ...Object.entries(found.components ?? {}).map(([name, component]): [string, string] => [`Component ${name}`, limitsOf(component)]),
            ]} />
            <Capabilities capabilities={found.capabilities} />
          </div>
        )}
      </Shown>
    </Panel>
  );
}

type Component = NonNullable<Manifest["components"]>[string];

/** "64 MiB, 5 s a call, 0f3a1c…". */
function limitsOf(component: Component): string {
  const memory = component["memory-bytes"] === null ? "default memory" : formatBytes(component["memory-bytes"]);
  const deadline = component["call-deadline-ms"] === null ? "default deadline" : `${formatDuration(component["call-deadline-ms"])} a call`;
  return `${memory}, ${deadline}, SHA-256 ${component.digest.slice(0, 12)}…`;
}

function Capabilities({ capabilities }: { capabilities: readonly string[] }) {
  return (
    <div>
      <h3>Requested capabilities</h3>
      {capabilities.length === 0
        ? <p className="dim">None: its code reaches records, state and timers, and nothing else.</p>
        : <ul className="capabilities" data-testid="capabilities">{capabilities.map((name) => <li key={name}><span className="chip mono">{name}</span></li>)}</ul>}
    </div>
  );
}
