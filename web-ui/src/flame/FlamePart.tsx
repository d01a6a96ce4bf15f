/** Where a vertex spends its time, by function: the picture, and the hottest functions as a list. */
import { Button, SegmentedControl, Select, TextInput } from "@mantine/core";
import { useMemo, useState } from "react";
import { usePath } from "../api/queries";
import type { FlameGraphAnswer, FlameNode, JobDetails, VertexSummary } from "../api/types";
import { formatShare } from "../format/numbers";
import { formatTime } from "../format/times";
import { Notice, Shown } from "../ui/states";
import "./flame.css";
import { FlameCanvas } from "./FlameCanvas";
import { hottest } from "./fold";
import { briefName } from "./names";

const KINDS = [
  { value: "full", label: "all" },
  { value: "on_cpu", label: "on CPU" },
  { value: "off_cpu", label: "waiting" },
];

export default function FlamePart({ job, vertex }: { job: JobDetails; vertex: VertexSummary }) {
  const [kind, setKind] = useState("on_cpu");
  const [subtask, setSubtask] = useState<string | null>(null);
  const query = `?type=${kind}${subtask === null ? "" : `&subtaskindex=${subtask}`}`;
  const answer = usePath<FlameGraphAnswer>(`/jobs/${job.jid}/vertices/${vertex.id}/flamegraph${query}`, { pollMs: 5_000 });
  const subtasks = Array.from({ length: vertex.parallelism }, (_, index) => ({ value: String(index), label: `subtask ${index}` }));
  return (
    <div className="stack part">
      <div className="row">
        <SegmentedControl size="xs" aria-label="Samples" value={kind} onChange={setKind} data={KINDS} />
        <Select aria-label="Subtask" placeholder="all subtasks" data={subtasks} value={subtask} onChange={setSubtask} clearable clearButtonProps={{ "aria-label": "All subtasks" }} w={150} />
      </div>
      <Shown of={answer} what="The flame graph">
        {({ data, endTimestamp }) => data === undefined || data.value === 0
          ? <Notice title="No samples yet" busy>Samples are taken once somebody looks; they appear here within a few seconds, while the tasks run.</Notice>
          : <Graph root={data} at={endTimestamp} />}
      </Shown>
    </div>
  );
}

function Graph({ root, at }: { root: FlameNode; at: number }) {
  const [focus, setFocus] = useState<readonly string[]>([]);
  const [search, setSearch] = useState("");
  const hot = useMemo(() => hottest(root, 25), [root]);
  return (
    <>
      <div className="row">
        <TextInput aria-label="Find a function" placeholder="Find a function" value={search} onChange={(event) => setSearch(event.currentTarget.value)} style={{ flex: 1, minWidth: 140 }} />
        <Button variant="default" disabled={focus.length < 2} onClick={() => setFocus([])}>Show all</Button>
        <span className="dim small">as of {formatTime(at)}</span>
      </div>
      <FlameCanvas root={root} focus={focus} onFocus={setFocus} search={search} />
      <table className="table" aria-label="Hottest functions">
        <thead><tr><th scope="col">Function</th><th scope="col" className="num">Itself</th><th scope="col" className="num">With what it calls</th></tr></thead>
        <tbody>
          {hot.map(({ name, self, total }) => (
            <tr key={name}>
              <th scope="row"><button type="button" className="plainbutton mono small" title={name} onClick={() => setSearch(name)}>{briefName(name)}</button></th>
              <td className="num">{formatShare(self / root.value)}</td>
              <td className="num">{formatShare(total / root.value)}</td>
            </tr>
          ))}
        </tbody>
      </table>
    </>
  );
}
