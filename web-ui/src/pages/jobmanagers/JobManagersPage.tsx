import type { Route } from "../../router";

export default function JobManagersPage(_: { id?: string; route?: Route }) {
  return <h1>JobManagersPage</h1>;
}
