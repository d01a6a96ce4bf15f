import { expect, it } from "vitest";
import { href, parseHash } from "./router";

it("a route is what its link says", () => {
  const link = href(["taskmanager", "10.0.0.2:4711/ä"], { tab: "log", none: null });
  expect(link).toBe("#/taskmanager/10.0.0.2%3A4711%2F%C3%A4?tab=log");
  const route = parseHash(link);
  expect(route.path).toEqual(["taskmanager", "10.0.0.2:4711/ä"]);
  expect(route.query.get("tab")).toBe("log");
});

it("no hash is the first page, and a broken one does no harm", () => {
  expect(parseHash("").path).toEqual([]);
  expect(parseHash("#/job/%E0%A4%A").path).toEqual(["job", "%E0%A4%A"]);
});
