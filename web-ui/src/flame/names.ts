/** Names of functions as people know them: without the module, the digests of crates and what generics stand for. */

/** "app.wasm!app[5eacd8686b98f6d8]::split::<u8>" → "app::split::<u8>". */
export function plainName(name: string): string {
  return name.replace(/^[^!\s]+!/, "").replaceAll(/\[[0-9a-f]{8,}\]/g, "");
}

/** The type and the function alone: "<app::Words<u8> as app::Operator>::process::{closure#0}" → "Words::process::{closure#0}". */
export function briefName(name: string): string {
  let text = plainName(name);
  for (let before = ""; before !== text;) {
    before = text;
    text = text.replaceAll(/(\w)<[^<>]*>|::<[^<>]*>/g, "$1").replaceAll(/(^|[^\w:])<([^<>]*?)(?: as [^<>]*)?>/g, "$1$2");
  }
  const parts = text.split("::");
  let named = parts.length - 1;
  while (named > 0 && parts[named]?.startsWith("{")) named -= 1;
  return parts.slice(Math.max(0, named - 1)).join("::");
}
