/** The group of JobManagers: who leads, how far behind the others are; its configuration, metrics and log. */
import { useMembers, usePath } from "../../api/queries";
import type { ConfigEntry, Member, Members } from "../../api/types";
import { formatCount, plural } from "../../format/numbers";
import { formatDuration } from "../../format/times";
import { href, navigate, type Route } from "../../router";
import { LogFiles } from "../../ui/LogFiles";
import { MetricCharts } from "../../ui/MetricCharts";
import { KeyValues, Panel, Stat } from "../../ui/parts";
import { RouteTabs, type Tab, tabOf } from "../../ui/RouteTabs";
import { Notice, Shown } from "../../ui/states";
import { usePageTitle } from "../../ui/usePageTitle";

const TABS: Tab[] = [
  { value: "group", label: "Group" }, { value: "metrics", label: "Metrics" }, { value: "configuration", label: "Configuration" }, { value: "log", label: "Log" },
];

/** What one looks at first. */
const WANTED = ["numRunningJobs", "taskSlotsAvailable", "numRegisteredTaskManagers", "Status.JVM.Memory.Heap.Used", "Status.JVM.CPU.Load", "Status.Millrace.Connections"];

export default function JobManagersPage({ route }: { route: Route }) {
  usePageTitle("JobManagers");
  const members = useMembers();
  const tab = tabOf(TABS, route.path[1]);
  return (
    <>
      <div className="pagehead"><h1>JobManagers</h1></div>
      <RouteTabs label="Parts of the JobManagers" tabs={TABS} value={tab} onChange={(value) => navigate(href(["jobmanagers", value]))}>
        {tab === "group" && <Shown of={members} what="The group">{(found) => <Group found={found} />}</Shown>}
        {tab === "metrics" && <Panel title="Metrics of the leader" flush><MetricCharts path="/jobmanager/metrics" wanted={WANTED} what="Metrics" /></Panel>}
        {tab === "configuration" && <Configuration />}
        {tab === "log" && <LogFiles path="/jobmanager" />}
      </RouteTabs>
    </>
  );
}

function Group({ found }: { found: Members }) {
  const voters = found.members.filter((member) => member.role !== "learner");
  const bears = Math.floor((voters.length - 1) / 2);
  return (
    <div className="stack">
      <dl className="stats" style={{ margin: 0 }}>
        <Stat label="Leader" note={`answered by ${found["answered-by"]}`}>{found.leader === null ? "none" : `member ${found.leader}`}</Stat>
        <Stat label="Members" note={bears > 0 ? `bears the loss of ${plural(bears, "member")}` : "bears no loss"}>{formatCount(found.members.length)}</Stat>
        <Stat label="Term">{formatCount(found.term)}</Stat>
        <Stat label="Newest log entry">{formatCount(found["last-log-index"])}</Stat>
        <Stat label="Carried out">{formatCount(found["applied-index"])}</Stat>
      </dl>
      {found.leader === null && <p className="banner tone-bad" role="alert">Nobody leads: a majority of the voters has to be reachable for one to be elected. Jobs run on meanwhile.</p>}
      <Panel title="Raft group" flush>
        <div className="scroll-x" tabIndex={0} role="group" aria-label="Raft group: scrolls">
          <table className="table" aria-label="Members">
            <thead>
              <tr><th scope="col">Member</th><th scope="col">Role</th><th scope="col">REST</th><th scope="col">RPC</th><th scope="col" className="num">Lag, entries</th><th scope="col" className="num">Last answer</th><th scope="col">Reachable</th></tr>
            </thead>
            <tbody>
              {found.members.map((member) => <MemberRow key={member.id} member={member} />)}
            </tbody>
          </table>
        </div>
      </Panel>
    </div>
  );
}

const ROLE_TONES = { leader: "info", voter: "ok", learner: "mute" } as const;

function MemberRow({ member }: { member: Member }) {
  const reachable = member.reachable === null ? "not known" : member.reachable ? "yes" : "no";
  return (
    <tr data-testid={`member-${member.id}`}>
      <th scope="row">{member.id}</th>
      <td><span className={`badge tone-${ROLE_TONES[member.role] ?? "mute"}`}>{member.role.toUpperCase()}</span></td>
      <td className="mono nowrap">{member.rest || "–"}</td>
      <td className="mono nowrap">{member.rpc || "–"}</td>
      <td className="num">{formatCount(member.lag)}</td>
      <td className="num">{member["last-answer-ms"] === null ? "–" : `${formatDuration(member["last-answer-ms"])} ago`}</td>
      <td><span style={member.reachable === false ? { color: "var(--m-bad)", fontWeight: 600 } : undefined}>{reachable}</span></td>
    </tr>
  );
}

function Configuration() {
  const found = usePath<ConfigEntry[]>("/jobmanager/config", { pollMs: false });
  return (
    <Panel title="Configuration of the leader">
      <Shown of={found} what="Configuration">
        {(entries) => entries.length === 0
          ? <Notice title="Nothing is set">All options have their defaults; millrace config --describe lists them.</Notice>
          : <KeyValues entries={[...entries].sort((a, b) => (a.key < b.key ? -1 : 1)).map(({ key, value }) => [key, <code key={key}>{value}</code>])} />}
      </Shown>
    </Panel>
  );
}
