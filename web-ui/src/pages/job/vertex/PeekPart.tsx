/** A look at records that pass right now. It waits for them, so it is done on request. */
import { Button, Select } from "@mantine/core";
import { useQuery } from "@tanstack/react-query";
import { useState } from "react";
import { getJson } from "../../../api/client";
import { keys } from "../../../api/keys";
import type { PeekAnswer, PeekRecord, Plan } from "../../../api/types";
import { groupHex, keyText, readablePart } from "../../../format/bytes";
import { plural } from "../../../format/numbers";
import { formatDateTime } from "../../../format/times";
import { Failed, Loading, Notice } from "../../../ui/states";
import { type PartProps, vertexPath } from "./path";

const RECORDS_MAX = 20;

export function PeekPart(props: PartProps) {
  const outputs = outputsOf(props.job.plan, props.vertex.id, (id) => props.job.vertices.find((vertex) => vertex.id === id)?.name ?? id);
  const [output, setOutput] = useState<string | null>(outputs[0]?.value ?? null);
  const path = vertexPath(props, `/peek?limit=${RECORDS_MAX}${output === null ? "" : `&output=${encodeURIComponent(output)}`}`);
  const peek = useQuery({ queryKey: keys.path(path), queryFn: () => getJson<PeekAnswer>(path), enabled: false, gcTime: 0 });
  return (
    <div className="stack part">
      <div className="row" style={{ alignItems: "flex-end" }}>
        {outputs.length > 0 && <Select label="Edge to" data={outputs} value={output} onChange={setOutput} allowDeselect={false} style={{ flex: 1, minWidth: 180 }} />}
        <Button onClick={() => void peek.refetch()} loading={peek.isFetching}>Look at records</Button>
      </div>
      <div aria-live="polite" aria-busy={peek.isFetching}>
        {peek.isFetching ? <Loading label="Waiting for records" /> : <Answer answer={peek.data} error={peek.error} />}
      </div>
    </div>
  );
}

function Answer({ answer, error }: { answer: PeekAnswer | undefined; error: Error | null }) {
  if (error !== null) return <Failed error={error} what="Records" />;
  if (answer === undefined) return <Notice title="Look at what passes">A copy of the next {RECORDS_MAX} records is shown; the job does not wait for it.</Notice>;
  if (answer.records.length === 0) return <Notice title="No records came by">None passed within five seconds.</Notice>;
  return (
    <>
      <p className="dim small">{plural(answer.records.length, "record")}{answer.truncated ? "; there were more" : ""}</p>
      <ol className="records" aria-label="Records">
        {answer.records.map((record, at) => <Record key={at} record={record} />)}
      </ol>
    </>
  );
}

function Record({ record }: { record: PeekRecord }) {
  const text = readablePart(record.printable);
  return (
    <li>
      <span className="dim small">subtask {record.subtask}{record.timestamp === null ? "" : ` · ${formatDateTime(record.timestamp)}`} <span className="chip">{record.format}</span></span>
      {record.key !== undefined && record.key !== "" && <span><span className="dim small">key</span> <code title={record.key}>{keyText(record.key, record.printableKey)}</code></span>}
      {record.value === "" ? <span className="dim small">{record.key === undefined || record.key === "" ? "empty" : "no value beside the key"}</span> : <code>{readable(record)}</code>}
      {text !== null && <code className="dim">{text}</code>}
    </li>
  );
}

/** JSON indented, fields side by side. What was cut off in the middle stays as it is. */
function readable({ format, value }: PeekRecord): string {
  if (format === "bytes") return groupHex(value);
  if (format !== "json" && format !== "fields") return value;
  try {
    const parsed = JSON.parse(value) as unknown;
    return format === "fields" && Array.isArray(parsed) ? parsed.join("  |  ") : JSON.stringify(parsed, null, 1);
  } catch {
    return value;
  }
}

/** Which vertices read from this one. */
function outputsOf(plan: Plan, vertex: string, nameOf: (id: string) => string): { value: string; label: string }[] {
  const readers = plan.nodes.filter((node) => (node.inputs ?? []).some((input) => input.id === vertex));
  return readers.map(({ id }) => ({ value: id, label: nameOf(id) }));
}
