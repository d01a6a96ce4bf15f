import type { Route } from "../../router";

export default function TaskManagerPage(_: { id?: string; route?: Route }) {
  return <h1>TaskManagerPage</h1>;
}
