/** The header: where to go, how the page stands with the cluster, and the colours. */
import { ActionIcon, useComputedColorScheme, useMantineColorScheme } from "@mantine/core";
import { useConfig, useOverview } from "../api/queries";
import { formatTime } from "../format/times";
import { useConnection } from "../live/status";
import { Link } from "../router";
import { Icon, type IconName } from "../ui/Icon";

const PAGES: { path: string; label: string; icon: IconName }[] = [
  { path: "overview", label: "Overview", icon: "overview" },
  { path: "submit", label: "Submit", icon: "submit" },
  { path: "taskmanagers", label: "TaskManagers", icon: "workers" },
  { path: "jobmanagers", label: "JobManagers", icon: "leader" },
];

/** Pages of one thing belong to the page that lists them. */
const PARENTS: Record<string, string> = { job: "overview", taskmanager: "taskmanagers" };

export function Header({ current }: { current: string }) {
  const active = PARENTS[current] ?? current;
  const submissions = useConfig().data?.features["web-submit"] ?? true;
  const pages = PAGES.filter((page) => page.path !== "submit" || submissions);
  return (
    <>
      <header className="topbar">
        <Link className="brand" to={["overview"]}>
          <img src="./icon.svg" alt="" /> Millrace
        </Link>
        <nav className="mainnav" aria-label="Main">
          {pages.map(({ path, label, icon }) => (
            <Link key={path} to={[path]} aria-current={path === active ? "page" : undefined}>
              <Icon name={icon} /> {label}
            </Link>
          ))}
        </nav>
        <span className="spread" />
        <Connection />
        <SchemeToggle />
      </header>
      <LostBar />
    </>
  );
}

function Connection() {
  // On every page something is asked for while no stream tells: else nobody would notice that the cluster is gone, or back.
  useOverview();
  const { reachable, streaming } = useConnection();
  const [tone, label, meaning] = !reachable
    ? ["tone-bad", "Disconnected", "The cluster cannot be reached."]
    : streaming
      ? ["tone-ok", "Live", "Changes arrive as they happen."]
      : ["tone-info", "Polling", "The page asks the cluster every two seconds."];
  return (
    <span className="connection" data-testid="connection" data-state={label.toLowerCase()} title={meaning} role="status">
      <span className={`dot ${tone}`} aria-hidden="true" /> {label}
    </span>
  );
}

function LostBar() {
  const { reachable, lastSeenAt } = useConnection();
  if (reachable) return null;
  return (
    <div className="lostbar" role="alert" data-testid="disconnected">
      <strong>Disconnected.</strong>{" "}
      {lastSeenAt > 0 ? `The page shows what was known at ${formatTime(lastSeenAt)}.` : "Nothing has been heard of the cluster yet."} It
      tries again by itself; jobs run on meanwhile.
    </div>
  );
}

function SchemeToggle() {
  const { setColorScheme } = useMantineColorScheme();
  const dark = useComputedColorScheme("light", { getInitialValueInEffect: false }) === "dark";
  const label = dark ? "Use light colours" : "Use dark colours";
  return (
    <ActionIcon variant="subtle" color="gray" aria-label={label} title={label} onClick={() => setColorScheme(dark ? "light" : "dark")}>
      <Icon name={dark ? "sun" : "moon"} />
    </ActionIcon>
  );
}
