"""The rows of nexmark, computed from the definition of its generator: expected/nexmark.py QUERY RECORDS.

Prints the rows of q1, q2, q5, q7, q8 or wc (of wc each word once, with its largest count; where several rows of q5 or
q7 would do, the one of the auction opened first, or of the earliest bid); with --digest one line instead: the number
of rows and the sum, modulo 2^64, of the first eight bytes, little-endian, of each row's SHA-256, so that millions of rows
can be compared whatever their order. Shares no code with the example.
"""

import collections
import hashlib
import sys

MASK = (1 << 64) - 1
EVENTS_PER_SECOND = 100_000


def mix(z):
    z = (z + 0x9E3779B97F4A7C15) & MASK
    z = ((z ^ z >> 30) * 0xBF58476D1CE4E5B9) & MASK
    z = ((z ^ z >> 27) * 0x94D049BB133111EB) & MASK
    return z ^ z >> 31


def text(seed, length):
    letters = []
    for _ in range(length):
        seed = mix(seed)
        letters.append(chr(97 + (seed >> 33) % 26))
    return "".join(letters)


def bids(events):
    extra = [text(i, 32) for i in range(1024)]
    small = [text(i + 7777, 12) for i in range(4)]
    url = [f"https://www.nexmark.com/item.htm?query=1&channel_id={mix(i) & 0xFFFFFF}" for i in range(1024)]
    price = [int(10 ** (6 * ((mix(3 * i + 1) >> 11) * 2.0**-53)) * 100 + 0.5) for i in range(4096)]
    for i in range(events):
        epoch, place = divmod(i, 50)
        if place < 4:
            continue
        last = epoch * 3 + 2
        h1 = mix(i)
        h2 = mix(h1)
        if h1 & 1:
            auction = last // 100 * 100
        else:
            least = max(last - 100, 0)
            auction = least + (h2 >> 1) % (last - least + 11)
        if h1 >> 1 & 3:
            bidder = epoch // 100 * 100 + 1
        else:
            active = min(epoch + 1, 1000)
            bidder = epoch + 1 - active + (mix(h2) >> 1) % (active + 10)
        yield (
            1000 + auction,
            1000 + bidder,
            price[h1 >> 8 & 4095],
            small[h1 >> 20 & 3],
            url[h1 >> 24 & 1023],
            1436918400000 + i * 1000 // EVENTS_PER_SECOND,
            extra[h1 >> 40 & 1023],
        )


def sellers(events):
    """The persons as (time, id, name), and the auctions as (time, seller, reserve)."""
    small = [text(i + 7777, 12) for i in range(1024)]
    price = [int(10 ** (6 * ((mix(3 * i + 1) >> 11) * 2.0**-53)) * 100 + 0.5) for i in range(4096)]
    persons, auctions = [], []
    for i in range(events):
        epoch, place = divmod(i, 50)
        if place >= 4:
            continue
        time = 1436918400000 + i * 1000 // EVENTS_PER_SECOND
        h1 = mix(i)
        h2 = mix(h1)
        h3 = mix(h2)
        if place == 0:
            persons.append((time, 1000 + epoch, small[h1 & 1023]))
            continue
        if h2 >> 32 & 3:
            seller = epoch // 100 * 100
        else:
            active = min(epoch + 1, 1000)
            seller = epoch + 1 - active + (h3 >> 1) % (active + 10)
        auctions.append((time, 1000 + seller, price[h3 & 4095] + price[h3 >> 16 & 4095]))
    return persons, auctions


def hot_auctions(events):
    counts = collections.defaultdict(collections.Counter)
    for bid in bids(events):
        end = bid[5] // 2000 * 2000 + 2000
        for window in range(end, end + 10_000, 2000):
            counts[window][bid[0]] += 1
    for window in sorted(counts):
        most = max(counts[window].values())
        yield window, min(auction for auction, count in counts[window].items() if count == most), most


def highest_bids(events):
    highest = {}
    for auction, bidder, price, _, _, time, _ in bids(events):
        window, row = time // 10_000, (-price, time, auction, bidder)
        highest[window] = min(highest.get(window, row), row)
    for window in sorted(highest):
        price, time, auction, bidder = highest[window]
        yield auction, -price, bidder, time


def new_sellers(events):
    persons, auctions = sellers(events)
    opened = collections.defaultdict(list)
    for time, seller, reserve in auctions:
        opened[time // 10_000, seller].append(reserve)
    for time, person, name in persons:
        for reserve in opened.get((time // 10_000, person), []):
            yield person, name, reserve


def base36(number):
    digits = ""
    while True:
        number, digit = divmod(number, 36)
        digits = "0123456789abcdefghijklmnopqrstuvwxyz"[digit] + digits
        if number == 0:
            return digits


def word(i):
    h = mix(i)
    letters = []
    for _ in range(3 + (h >> 40) % 8):
        letters.append(chr(97 + (h & 31) % 26))
        h = mix(h)
    return "".join(letters) + base36(i)


def words(sentences):
    vocabulary = [word(i) for i in range(10_000)]
    pool, h = [], 42
    for _ in range(4096):
        sentence = []
        for _ in range(10):
            h = mix(h)
            u = (h >> 11) * 2.0**-53
            sentence.append(vocabulary[int(u * u * u * 10_000)])
        pool.append(sentence)
    for n in range(sentences):
        yield from pool[n & 4095]


WINDOWS = {"q5": hot_auctions, "q7": highest_bids, "q8": new_sellers}


def rows(query, records):
    if query == "q1":
        for auction, bidder, price, channel, url, time, extra in bids(records):
            yield f"{auction},{bidder},{price * 908 // 1000},{channel},{url},{time},{extra}"
    elif query == "q2":
        for bid in bids(records):
            if bid[0] % 123 == 0:
                yield f"{bid[0]},{bid[2]}"
    elif query in WINDOWS:
        for row in WINDOWS[query](records):
            yield ",".join(map(str, row))
    elif query == "wc":
        for item, count in collections.Counter(words(records)).items():
            yield f"{item},{count}"
    else:
        sys.exit(f"{query} is none of q1, q2, q5, q7, q8, wc")


arguments = [argument for argument in sys.argv[1:] if argument != "--digest"]
if len(arguments) != 2:
    sys.exit(__doc__)
found = rows(arguments[0], int(arguments[1]))
if "--digest" in sys.argv:
    number, total = 0, 0
    for row in found:
        number += 1
        total += int.from_bytes(hashlib.sha256(row.encode()).digest()[:8], "little")
    print(number, total & MASK)
else:
    for row in found:
        print(row)
