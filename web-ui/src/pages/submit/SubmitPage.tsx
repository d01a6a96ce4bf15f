import type { Route } from "../../router";

export default function SubmitPage(_: { id?: string; route?: Route }) {
  return <h1>SubmitPage</h1>;
}
