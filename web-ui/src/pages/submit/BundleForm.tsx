/** A bundle before it runs: its manifest, its graph with these arguments, and how it is to run. */
import { Button, Checkbox, NumberInput, Select, Textarea, TextInput } from "@mantine/core";
import { useQuery } from "@tanstack/react-query";
import { useDebouncedValue } from "@mantine/hooks";
import { useState } from "react";
import { ApiError } from "../../api/client";
import { planBundle, runBundle } from "../../api/operations";
import type { Bundle, RunRequest } from "../../api/types";
import { readOptions, splitArgs } from "../../format/args";
import { plural } from "../../format/numbers";
import { JobGraph } from "../../graph/JobGraph";
import { href, navigate } from "../../router";
import { runOperation } from "../../ui/operation";
import { Panel } from "../../ui/parts";
import { Loading, Notice } from "../../ui/states";
import { ManifestView } from "./ManifestView";

interface Form {
  entry: string | null;
  args: string;
  parallelism: number | null;
  savepoint: string;
  skipState: boolean;
  options: string;
}

const EMPTY: Form = { entry: null, args: "", parallelism: null, savepoint: "", skipState: false, options: "" };

/** What decides about the plan. */
function planRequest(form: Form): RunRequest {
  const args = splitArgs(form.args);
  return {
    ...(form.entry === null ? {} : { entryClass: form.entry }),
    ...(args.length === 0 ? {} : { programArgsList: args }),
    ...(form.parallelism === null ? {} : { parallelism: form.parallelism }),
  };
}

function runRequest(form: Form, options: Record<string, string>): RunRequest {
  const savepoint = form.savepoint.trim();
  return {
    ...planRequest(form),
    ...(savepoint === "" ? {} : { savepointPath: savepoint, allowNonRestoredState: form.skipState }),
    ...(Object.keys(options).length === 0 ? {} : { flinkConfiguration: options }),
  };
}

export function BundleForm({ bundle }: { bundle: Bundle }) {
  const [form, setForm] = useState<Form>(EMPTY);
  const [running, setRunning] = useState(false);
  const change = (part: Partial<Form>) => setForm((before) => ({ ...before, ...part }));
  const options = readOptions(form.options);
  const run = async () => {
    if (options === null || running) return;
    setRunning(true);
    await runOperation(
      { going: `Submitting ${bundle.name}`, done: "The job is submitted", failed: "The job was not submitted" },
      async () => navigate(href(["job", await runBundle(bundle.id, runRequest(form, options))])),
    );
    setRunning(false);
  };
  const entries = bundle.entry.map(({ name }) => name).filter((name) => name !== "");
  return (
    <div className="stack">
      <ManifestView bundle={bundle} />
      <Panel title="How to run it">
        <form className="runform" onSubmit={(event) => {
          event.preventDefault();
          void run();
        }}>
          <TextInput className="wide" label="Arguments" description="Separated by blanks, as in a shell" placeholder="--input /data/in --output /data/out" value={form.args} onChange={(event) => change({ args: event.currentTarget.value })} />
          <Select label="Entry" description="The component with the builder" data={entries} value={form.entry} placeholder={entries[0] ?? "the bundle's own"} onChange={(entry) => change({ entry })} clearable clearButtonProps={{ "aria-label": "The bundle's own" }} />
          <NumberInput label="Parallelism" description="Of operators that state none" placeholder="the cluster's default" min={1} allowDecimal={false} value={form.parallelism ?? ""}
            onChange={(value) => change({ parallelism: typeof value === "number" ? value : null })} />
          <TextInput className="wide" label="Savepoint" description="A savepoint's or retained checkpoint's folder to go on from" placeholder="none: begin anew" value={form.savepoint} onChange={(event) => change({ savepoint: event.currentTarget.value })} />
          {form.savepoint.trim() !== "" && <Checkbox className="wide" label="Leave out state of operators that the job does not have" checked={form.skipState} onChange={(event) => change({ skipState: event.currentTarget.checked })} />}
          <Textarea className="wide" label="Options" description="One key=value in a line" placeholder="execution.checkpointing.interval=10s" autosize minRows={2} maxRows={8} value={form.options}
            error={options === null ? "Each line has to be key=value" : null} onChange={(event) => change({ options: event.currentTarget.value })} />
          <div className="wide row"><Button type="submit" size="sm" loading={running} disabled={options === null}>Run the job</Button></div>
        </form>
      </Panel>
      <PlanView bundle={bundle} request={planRequest(form)} />
    </div>
  );
}

/** The graph that the bundle builds with these arguments; they are tried once one has stopped to write. */
function PlanView({ bundle, request }: { bundle: Bundle; request: RunRequest }) {
  const [settled] = useDebouncedValue(JSON.stringify(request), 600);
  const plan = useQuery({
    queryKey: ["plan", bundle.id, settled],
    queryFn: () => planBundle(bundle.id, JSON.parse(settled) as RunRequest),
    staleTime: Number.POSITIVE_INFINITY,
    retry: false,
  });
  const found = plan.data?.plan;
  const tasks = found?.nodes.reduce((sum, node) => sum + node.parallelism, 0) ?? 0;
  return (
    <Panel title="Plan" flush={found !== undefined} testid="plan" aside={found !== undefined && <span className="dim small">{found.name} · {plural(found.nodes.length, "vertex", "vertices")}, {plural(tasks, "task")}</span>}>
      {found !== undefined && <JobGraph plan={found} />}
      {plan.error !== null && <Refusal error={plan.error} />}
      {plan.isFetching && found === undefined && plan.error === null && <Loading label="Planning" />}
    </Panel>
  );
}

/** A program that refuses its arguments says what it wants. */
function Refusal({ error }: { error: Error }) {
  const refused = error instanceof ApiError && error.status === 400;
  return <Notice title={refused ? "With these arguments there is no plan" : "The plan cannot be shown"}>{error.message}</Notice>;
}
