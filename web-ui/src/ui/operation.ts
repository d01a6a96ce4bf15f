/** Runs an operation and tells how it fares in the corner of the page, wherever one goes meanwhile. */
import { notifications } from "@mantine/notifications";

interface Words {
  /** While it goes on: "Taking a savepoint of wordcount". */
  going: string;
  /** When it is done, in front of what it returned. */
  done: string;
  /** If it fails: "No savepoint was taken". */
  failed: string;
}

/** Failures stay until they are closed. Returns whether it succeeded. */
export async function runOperation<T>(words: Words, run: () => Promise<T>, tell: (result: T) => string = () => ""): Promise<boolean> {
  const id = notifications.show({ loading: true, title: words.going, message: "", autoClose: false, withCloseButton: false });
  const close = { id, loading: false, withCloseButton: true, closeButtonProps: { "aria-label": "Close the message" } };
  try {
    const message = tell(await run());
    notifications.update({ ...close, title: words.done, message, autoClose: message === "" ? 5_000 : 12_000 });
    return true;
  } catch (error) {
    const message = error instanceof Error ? error.message : String(error);
    notifications.update({ ...close, color: "danger", title: words.failed, message, autoClose: false });
    return false;
  }
}
