"""The rows of flights --hourly, computed from their definition: expected/flights_hourly.py FILE... Shares no code with the SDK."""

import csv
import fractions
import sys

hours = {}
for path in sys.argv[1:]:
    with open(path, encoding="utf-8", newline="") as file:
        for row in csv.DictReader(file):
            delays = hours.setdefault((row["origin"], row["time_hour"]), [0, []])
            delays[0] += 1
            if row["dep_delay"] not in ("", "NA"):
                delays[1].append(int(float(row["dep_delay"])))


def three_decimals(value):
    """The exact mean, rounded half away from zero."""
    scaled = abs(value) * 1000
    rounded = (scaled + fractions.Fraction(1, 2)).__floor__()
    sign = "-" if value < 0 and rounded else ""
    return f"{sign}{rounded // 1000}.{rounded % 1000:03}"


for (origin, hour), (count, delays) in hours.items():
    mean = three_decimals(fractions.Fraction(sum(delays), len(delays))) if delays else ""
    print(f"{origin},{hour},{count},{mean}")
