/** Small parts that all pages use. */
import type { ReactNode } from "react";
import type { ExecutionState, JobState } from "../api/types";
import { formatShare } from "../format/numbers";

interface PanelProps {
  title: string;
  /** Beside the title: counts, buttons. */
  aside?: ReactNode;
  /** Tables go to the edge. */
  flush?: boolean;
  testid?: string;
  children: ReactNode;
}

/** A section with a heading; its name is its heading's. */
export function Panel({ title, aside, flush = false, testid, children }: PanelProps) {
  return (
    <section className="panel" aria-label={title} data-testid={testid}>
      <header>
        <h2>{title}</h2>
        <span className="spread" />
        {aside}
      </header>
      <div className={flush ? "panel-body flush" : "panel-body"}>{children}</div>
    </section>
  );
}

interface StatProps {
  label: string;
  note?: ReactNode;
  /** The figure is on its way. */
  busy?: boolean;
  testid?: string;
  children: ReactNode;
}

export function Stat({ label, note, busy = false, testid, children }: StatProps) {
  return (
    <div className="stat" data-testid={testid} aria-busy={busy}>
      <dt>{label}</dt>
      <dd>
        {children}
        {note !== undefined && <span className="note">{note}</span>}
      </dd>
    </div>
  );
}

type Tone = "ok" | "warn" | "bad" | "info" | "mute";

const TONES: Record<JobState | ExecutionState, Tone> = {
  RUNNING: "ok",
  FINISHED: "info",
  FAILED: "bad",
  FAILING: "bad",
  RESTARTING: "warn",
  RECONCILING: "warn",
  CANCELING: "warn",
  CANCELLING: "warn",
  CANCELED: "mute",
  SUSPENDED: "mute",
  CREATED: "mute",
  SCHEDULED: "mute",
  INITIALIZING: "warn",
  DEPLOYING: "warn",
};

const PASSING: ReadonlySet<string> = new Set(["FAILING", "RESTARTING", "RECONCILING", "CANCELING", "CANCELLING", "INITIALIZING", "DEPLOYING"]);

export function toneOf(state: string): Tone {
  return TONES[state as JobState] ?? "mute";
}

export function StateBadge({ state, testid }: { state: string; testid?: string }) {
  return (
    <span className={`badge tone-${toneOf(state)} ${PASSING.has(state) ? "pulse" : ""}`} data-testid={testid} data-state={state}>
      <span className="dot" style={{ background: "currentColor" }} aria-hidden="true" />
      {state}
    </span>
  );
}

/** How a stretch of time was spent: busy, backpressured, and the rest idle. */
export function LoadBar({ busy, pressed }: { busy: number; pressed: number }) {
  return (
    <div className="bar" role="img" aria-label={`busy ${formatShare(busy)}, backpressured ${formatShare(pressed)}`}>
      <span className="busy" style={{ width: `${busy * 100}%` }} />
      <span className="pressed" style={{ width: `${pressed * 100}%` }} />
    </div>
  );
}

/** A share of something limited: slots, memory. */
export function Meter({ label, share, text }: { label: string; share: number; text: string }) {
  const bounded = Number.isFinite(share) ? Math.min(1, Math.max(0, share)) : 0;
  return (
    <div className="meter">
      <div>
        <span className="dim">{label}</span>
        <span>{text}</span>
      </div>
      <div className="bar" role="meter" aria-label={label} aria-valuemin={0} aria-valuemax={100} aria-valuenow={Math.round(bounded * 100)} aria-valuetext={text}>
        <span className="busy" style={{ width: `${bounded * 100}%` }} />
      </div>
    </div>
  );
}

export function KeyValues({ entries }: { entries: [string, ReactNode][] }) {
  return (
    <dl className="keyvalues">
      {entries.map(([key, value]) => (
        <div key={key} style={{ display: "contents" }}>
          <dt>{key}</dt>
          <dd>{value}</dd>
        </div>
      ))}
    </dl>
  );
}
