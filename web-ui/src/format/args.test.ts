import { expect, it } from "vitest";
import { joinArgs, readOptions, splitArgs } from "./args";

it("arguments are split as a shell does", () => {
  expect(splitArgs("--input /data/in  --name 'two words' --empty \"\" a\\ b \"say \\\"hi\\\"\" x'y'z")).toEqual([
    "--input", "/data/in", "--name", "two words", "--empty", "", "a b", 'say "hi"', "xyz",
  ]);
  expect(splitArgs("  \n ")).toEqual([]);
  expect(splitArgs("C:\\\\x '\\n'")).toEqual(["C:\\x", "\\n"]);
});

it("options are read line by line", () => {
  expect(readOptions("a.b = 5 s\n# note\n\nc: d:e")).toEqual({ "a.b": "5 s", c: "d:e" });
  expect(readOptions("")).toEqual({});
  expect(readOptions("no value")).toBeNull();
});

it("arguments in a line are the arguments again", () => {
  const args = ["--query", "q5", "two words", "", "it's", "a\\b", '"x"', "/data/in:1"];
  expect(splitArgs(joinArgs(args))).toEqual(args);
  expect(joinArgs(["--query", "q5"])).toBe("--query q5");
});
