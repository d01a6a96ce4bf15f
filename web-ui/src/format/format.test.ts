import { describe, expect, it } from "vitest";
import { formatBytes, formatCount, formatRate, formatShare, formatShort, plural, toNumber } from "./numbers";
import { elapsed, formatAgo, formatDuration, formatWatermark } from "./times";

describe("numbers", () => {
  it("are short with three digits behind a unit", () => {
    expect([0, 7, 999, 999.7, 1_000, 12_345, 999_499, 999_600, 1_234_567].map(formatShort)).toEqual([
      "0", "7", "999", "1.00 k", "1.00 k", "12.3 k", "999 k", "1.00 M", "1.23 M",
    ]);
    expect(formatShort(-12_345)).toBe("-12.3 k");
    expect(formatShort(0.25)).toBe("0.3");
    expect(formatRate(21_627.8)).toBe("21.6 k/s");
    expect(formatCount(1_234_567)).toBe("1,234,567");
  });

  it("of bytes have powers of 1024", () => {
    expect([0, 1_023, 1_024, 266_686, 5 * 1024 ** 3].map(formatBytes)).toEqual(["0 B", "1023 B", "1.00 KiB", "260 KiB", "5.00 GiB"]);
  });

  it("that are none are a dash", () => {
    for (const none of [null, undefined, Number.NaN, Number.POSITIVE_INFINITY]) {
      expect([formatShort(none), formatCount(none), formatBytes(none), formatShare(none)]).toEqual(["–", "–", "–", "–"]);
    }
    expect(formatBytes(-1)).toBe("–");
  });

  it("of shares stay within bounds and do not hide what is small", () => {
    expect([0, 0.001, 0.739, 1, 1.2, -1].map(formatShare)).toEqual(["0 %", "<1 %", "74 %", "100 %", "100 %", "0 %"]);
  });

  it("come as text too", () => {
    expect([toNumber("12.5"), toNumber(3), toNumber("NaN"), toNumber(undefined)]).toEqual([12.5, 3, null, null]);
    expect([plural(1, "job"), plural(1_000, "job"), plural(0, "entry", "entries")]).toEqual(["1 job", "1,000 jobs", "0 entries"]);
  });
});

describe("times", () => {
  it("grow coarser with their length", () => {
    expect([0, 73, 12_100, 59_949, 59_950, 605_000, 3_725_000, 90_000_000].map(formatDuration)).toEqual([
      "0 ms", "73 ms", "12.1 s", "59.9 s", "1 min 00 s", "10 min 05 s", "1 h 02 min", "1 d 01 h",
    ]);
    expect(formatDuration(-1)).toBe("–");
  });

  it("run on until there is an end", () => {
    expect(elapsed(1_000, -1, 5_000)).toBe(4_000);
    expect(elapsed(1_000, 3_000, 5_000)).toBe(2_000);
    expect(elapsed(-1, -1, 5_000)).toBeNull();
    expect(elapsed(9_000, -1, 5_000)).toBe(0);
  });

  it("are told from now", () => {
    const now = 1_000_000_000;
    expect([1_000, 42_000, 300_000, 7_200_000, 172_800_000].map((ago) => formatAgo(now - ago, now))).toEqual([
      "just now", "42 s ago", "5 min ago", "2 h ago", "2 d ago",
    ]);
  });

  it("of events are UTC, with two that are no time", () => {
    expect(formatWatermark(-9_223_372_036_854_775_808)).toBe("none yet");
    expect(formatWatermark(9_223_372_036_854_775_807)).toBe("end");
    expect(formatWatermark(1_436_918_400_000)).toBe("2015-07-15 00:00:00");
    expect(formatWatermark(1_436_918_400_250)).toBe("2015-07-15 00:00:00.25");
    expect(formatWatermark(null)).toBe("–");
  });
});
