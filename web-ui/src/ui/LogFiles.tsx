/** The log files of a process: the newest one as it grows, or one that is chosen. */
import { Select } from "@mantine/core";
import { useState } from "react";
import { usePath } from "../api/queries";
import type { LogList } from "../api/types";
import { formatBytes } from "../format/numbers";
import { LogView } from "./LogView";
import { Panel } from "./parts";
import { Notice, Shown } from "./states";

export function LogFiles({ path }: { path: string }) {
  const found = usePath<LogList>(`${path}/logs`, { pollMs: 10_000 });
  const [chosen, setChosen] = useState<string | null>(null);
  const files = found.data?.logs ?? [];
  const name = chosen ?? files[0]?.name ?? null;
  const select = files.length > 1 && (
    <Select aria-label="File" data={files.map((file) => ({ value: file.name, label: `${file.name} · ${formatBytes(file.size)}` }))} value={name} onChange={setChosen} allowDeselect={false} w={260} />
  );
  return (
    <Panel title={name === null ? "Log" : `Log: ${name}`} aside={select} flush>
      <Shown of={found} what="Logs">
        {() => name === null
          ? <Notice title="There is no log file">The process writes its log elsewhere.</Notice>
          : <LogView key={name} path={`${path}/logs/${encodeURIComponent(name)}`} what="The log" empty="The file is empty." plain />}
      </Shown>
    </Panel>
  );
}
