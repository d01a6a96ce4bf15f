import { expect, it } from "vitest";
import { groupHex, keyText, readablePart } from "./bytes";

it("bytes stand in groups", () => {
  expect(groupHex("d0cb028f4e010000f1")).toBe("d0cb028f 4e010000 f1");
  expect(groupHex("")).toBe("");
});

it("what can be read is shown where it is more than chance", () => {
  expect(readablePart("....N...")).toBeNull();
  expect(readablePart("..Berlin..")).toBe("..Berlin..");
  expect(readablePart(undefined)).toBeNull();
});

it("a key is a text, a number or digits", () => {
  expect(keyText("68c3bc68", "h..h")).toBe("68c3bc68");
  expect(keyText("776f7264", "word")).toBe("word");
  expect(keyText("e803000000000000", "........")).toBe("1000");
  expect(keyText("ffffffffffffffff", "........")).toBe("-1");
});
