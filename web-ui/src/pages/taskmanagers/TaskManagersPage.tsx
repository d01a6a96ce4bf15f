import type { Route } from "../../router";

export default function TaskManagersPage(_: { id?: string; route?: Route }) {
  return <h1>TaskManagersPage</h1>;
}
