import type { Route } from "../../router";

export default function JobPage(_: { id?: string; route?: Route }) {
  return <h1>JobPage</h1>;
}
