/** A log that follows what is added, unless one scrolls up; with a filter. Its newest lines are shown, of any number. */
import { Checkbox, TextInput } from "@mantine/core";
import { useDeferredValue, useEffect, useMemo, useRef, useState } from "react";
import { usePath, useText } from "../api/queries";
import type { JobLog } from "../api/types";
import { formatCount, plural } from "../format/numbers";
import { Notice, Shown } from "./states";

/** Lines in the page. */
const LINES_MAX = 2_000;

interface LogViewProps {
  path: string;
  what: string;
  empty: string;
  /** Plain text rather than JSON with a field `log`. */
  plain?: boolean;
}

export function LogView({ path, what, empty, plain = false }: LogViewProps) {
  const json = usePath<JobLog>(path, { pollMs: 2_000, enabled: !plain });
  const text = useText(path, { pollMs: 2_000, enabled: plain });
  return plain
    ? <Shown of={text} what={what}>{(log) => <Lines log={log} empty={empty} />}</Shown>
    : <Shown of={json} what={what}>{({ log }) => <Lines log={log} empty={empty} />}</Shown>;
}

function Lines({ log, empty }: { log: string; empty: string }) {
  const [filter, setFilter] = useState("");
  const [follow, setFollow] = useState(true);
  const wanted = useDeferredValue(filter.trim().toLowerCase());
  const box = useRef<HTMLPreElement>(null);
  const all = useMemo(() => log.split("\n").filter((line) => line !== ""), [log]);
  const found = useMemo(() => (wanted === "" ? all : all.filter((line) => line.toLowerCase().includes(wanted))), [all, wanted]);
  const shown = found.slice(-LINES_MAX);
  useEffect(() => {
    if (follow && box.current !== null) box.current.scrollTop = box.current.scrollHeight;
  }, [follow, shown.length, log]);
  const scrolled = () => {
    const element = box.current;
    if (element === null) return;
    const atEnd = element.scrollHeight - element.scrollTop - element.clientHeight < 24;
    if (atEnd !== follow) setFollow(atEnd);
  };
  if (all.length === 0) return <Notice title="Nothing is logged">{empty}</Notice>;
  return (
    <div>
      <div className="row partline">
        <TextInput aria-label="Filter lines" placeholder="Filter lines" value={filter} onChange={(event) => setFilter(event.currentTarget.value)} style={{ flex: "0 1 260px" }} />
        <Checkbox label="Follow" checked={follow} onChange={(event) => setFollow(event.currentTarget.checked)} />
        <span className="spread" style={{ flex: 1 }} />
        <span className="dim small">{found.length > shown.length ? `the newest ${formatCount(shown.length)} of ${plural(found.length, "line")}` : plural(found.length, "line")}</span>
      </div>
      <pre className="log" ref={box} onScroll={scrolled} tabIndex={0} role="log" aria-label="Log" aria-live="off" data-testid="log">
        {shown.map((line, at) => <span key={at} className={toneOf(line)}>{line}{"\n"}</span>)}
      </pre>
    </div>
  );
}

function toneOf(line: string): string | undefined {
  if (/\bERROR\b/.test(line)) return "bad";
  return /\bWARN\b/.test(line) ? "warn" : undefined;
}
