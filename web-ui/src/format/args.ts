/** Arguments of an application, written in one line as for a shell. */

/** Splits at white space; quotes hold together, a backslash takes the next character as it is (not within single quotes). */
export function splitArgs(text: string): string[] {
  const args: string[] = [];
  let current: string | null = null;
  let quote: string | null = null;
  for (let at = 0; at < text.length; at += 1) {
    const character = text.charAt(at);
    if (quote !== null && character === quote) {
      quote = null;
    } else if (quote === null && (character === "'" || character === '"')) {
      quote = character;
      current ??= "";
    } else if (character === "\\" && quote !== "'" && at + 1 < text.length) {
      at += 1;
      current = (current ?? "") + text.charAt(at);
    } else if (quote === null && /\s/.test(character)) {
      if (current !== null) args.push(current);
      current = null;
    } else {
      current = (current ?? "") + character;
    }
  }
  if (current !== null) args.push(current);
  return args;
}

/** Arguments in one line that splits into them again. */
export function joinArgs(args: readonly string[]): string {
  return args.map((arg) => (/^[\w./:=,@%+-]+$/.test(arg) ? arg : `'${arg.replaceAll("'", "'\"'\"'")}'`)).join(" ");
}

/** Options, one `key=value` or `key: value` in a line; null if a line is neither. */
export function readOptions(text: string): Record<string, string> | null {
  const options: Record<string, string> = {};
  for (const line of text.split("\n").map((one) => one.trim()).filter((one) => one !== "" && !one.startsWith("#"))) {
    const found = /^([A-Za-z0-9_.-]+)\s*(?:=|:\s)\s*(.+)$/.exec(line);
    if (found?.[1] === undefined || found[2] === undefined) return null;
    options[found[1]] = found[2];
  }
  return options;
}
