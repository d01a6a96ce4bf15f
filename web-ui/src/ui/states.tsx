/** What stands where there is no data: loading, empty, not available, failed. */
import { Button } from "@mantine/core";
import type { ReactNode } from "react";
import { ApiError } from "../api/client";

/** `busy`: what is missing is on its way. */
export function Notice({ title, tone, busy, children }: { title: string; tone?: "bad"; busy?: boolean; children?: ReactNode }) {
  return (
    <div className={`notice ${tone ?? ""}`} aria-busy={busy}>
      <strong>{title}</strong>
      {children !== undefined && <p>{children}</p>}
    </div>
  );
}

export function Loading({ label, lines = 3 }: { label: string; lines?: number }) {
  return (
    <div className="stack" style={{ padding: "14px" }} role="status" aria-label={label} data-testid="loading">
      {Array.from({ length: lines }, (_, line) => (
        <div key={line} className="skeleton" style={{ width: `${90 - line * 17}%` }} />
      ))}
    </div>
  );
}

/** A server that is older than the page, or lacks what was asked for, is no fault. */
export function Failed({ error, what, retry }: { error: Error; what: string; retry?: (() => unknown) | undefined }) {
  if (error instanceof ApiError && error.isMissing) {
    return <Notice title={`${what}: not available`}>{error.message}</Notice>;
  }
  return (
    <div role="alert" className="stack" style={{ alignItems: "center", gap: 0, paddingBottom: retry === undefined ? 0 : 20 }}>
      <Notice tone="bad" title={`${what} cannot be shown`}>{error.message}</Notice>
      {retry !== undefined && <Button variant="default" onClick={() => retry()}>Try again</Button>}
    </div>
  );
}

interface Answer<T> {
  data: T | undefined;
  error: Error | null;
  refetch?: () => unknown;
}

/** Shows what a query has found; what it found before is better than an error, which the header tells anyway. */
export function Shown<T>({ of, what, children }: { of: Answer<T>; what: string; children: (data: T) => ReactNode }) {
  if (of.data !== undefined) return <>{children(of.data)}</>;
  if (of.error !== null) return <Failed error={of.error} what={what} retry={of.refetch} />;
  return <Loading label={`Loading: ${what}`} />;
}
