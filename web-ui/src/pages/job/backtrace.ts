/** The parts of a failure's text: the message, the guest's frames, and what to do about it. */
import type { ExceptionEntry } from "../../api/types";

export interface Frame {
  name: string;
  /** The component or file; null if the frame does not say. */
  place: string | null;
}

export interface Backtrace {
  message: string;
  frames: Frame[];
  advice: string | null;
}

const ADVICE = "What to do: ";

export function backtraceOf({ stacktrace, exceptionName }: Pick<ExceptionEntry, "stacktrace" | "exceptionName">): Backtrace {
  const message: string[] = [];
  const frames: Frame[] = [];
  let advice: string | null = null;
  for (const line of stacktrace.split("\n")) {
    const text = line.trim();
    if (/^\s+at /.test(line)) frames.push(frameOf(text.slice(3)));
    else if (text.startsWith(ADVICE)) advice = text.slice(ADVICE.length);
    else if (text !== "") message.push(text);
  }
  const whole = message.join("\n");
  return { message: whole.startsWith(`${exceptionName}: `) ? whole.slice(exceptionName.length + 2) : whole, frames, advice };
}

/** "word.wasm!word[0f3a]::count" → the function without its crate's hash, and the component. */
function frameOf(text: string): Frame {
  const at = text.indexOf("!");
  const [place, name] = at < 0 ? [null, text] : [text.slice(0, at), text.slice(at + 1)];
  return { place, name: name.replace(/\[[0-9a-f]{8,}\]/g, "") };
}
