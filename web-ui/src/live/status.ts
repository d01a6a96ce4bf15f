/**
 * How the page stands with the cluster: over a stream, by asking again and again, or not at all. Requests and streams report
 * here; the header shows it.
 */
import { useSyncExternalStore } from "react";

export interface ConnectionStatus {
  /** The cluster answered what was asked last. */
  reachable: boolean;
  /** Changes arrive by themselves. */
  streaming: boolean;
  /** When something last came from the cluster, in milliseconds since 1970; 0 if nothing has. */
  lastSeenAt: number;
}

let status: ConnectionStatus = { reachable: true, streaming: false, lastSeenAt: 0 };
const listeners = new Set<() => void>();

function set(change: Partial<ConnectionStatus>): void {
  const next = { ...status, ...change };
  const visible = next.reachable !== status.reachable || next.streaming !== status.streaming;
  status = visible ? next : Object.assign(status, change);
  if (visible) listeners.forEach((listener) => listener());
}

export function reportAnswer(): void {
  set({ reachable: true, lastSeenAt: Date.now() });
}

export function reportSilence(): void {
  set({ reachable: false });
}

export function reportStreaming(streaming: boolean): void {
  set({ streaming });
}

export function useConnection(): ConnectionStatus {
  return useSyncExternalStore(
    (changed) => {
      listeners.add(changed);
      return () => listeners.delete(changed);
    },
    () => status,
  );
}
