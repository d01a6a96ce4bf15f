/**
 * One stream of server-sent events. Where the server has none the caller is told so and polls; the stream is tried again
 * later. One that says nothing for two keep-alives is replaced, since nobody can tell it from one that is dead.
 */
import { eventsUrl } from "../api/client";
import { reportAnswer } from "./status";

/** The server sends something at least every 15 s; comments among it are not seen here. */
const SILENCE_MS_MAX = 2 * 15_000;

/** A stream begins with all there is. */
const FIRST_EVENT_MS_MAX = 5_000;

/** After a refusal or a loss, tried again. */
const RETRY_MS = 10_000;

export type StreamHandlers = Record<string, (data: never) => void>;

/**
 * Opens it; `onLive` says whether events can be relied on. Handlers are made anew for each connection, since each begins
 * with all there is. Returns what closes it.
 */
export function openStream(path: string, makeHandlers: () => StreamHandlers, onLive: (live: boolean) => void): () => void {
  let source: EventSource | null = null;
  let deadline: ReturnType<typeof setTimeout> | undefined;
  let live = false;

  const tell = (now: boolean) => {
    if (now !== live) onLive(now);
    live = now;
  };
  const close = () => {
    clearTimeout(deadline);
    source?.close();
    source = null;
  };
  const lose = () => {
    close();
    tell(false);
    deadline = setTimeout(open, RETRY_MS);
  };
  const heard = () => {
    clearTimeout(deadline);
    deadline = setTimeout(open, SILENCE_MS_MAX);
    reportAnswer();
  };

  function open(): void {
    close();
    deadline = setTimeout(lose, FIRST_EVENT_MS_MAX);
    source = new EventSource(eventsUrl(path));
    source.onerror = lose;
    source.addEventListener("alive", heard);
    for (const [name, handle] of Object.entries(makeHandlers())) {
      source.addEventListener(name, (event: MessageEvent<string>) => {
        heard();
        handle(JSON.parse(event.data) as never);
        tell(true);
      });
    }
  }

  open();
  return () => {
    close();
    tell(false);
  };
}
