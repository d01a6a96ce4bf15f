"""The rows of nexmark, computed from the definition of its generator: expected/nexmark.py QUERY RECORDS [PER_SECOND].

Prints the rows of q1, q2, q5, q7, q8 or wc (of wc each word once, with its largest count; where several rows of q5 or q7
would do, the one of the auction opened first, or of the earliest bid). PER_SECOND is the number of events in a second of
event time: 100,000 unless stated. With --digest one line instead: the number of rows and the sum, modulo 2^64, of the
first eight bytes, little-endian, of each row's SHA-256, so that millions of rows can be compared whatever their order.
Shares no code with the example.
"""

import collections
import hashlib
import sys

MASK = (1 << 64) - 1
BEGAN_MS = 1436918400000
WINDOW_MS = 10_000
SLIDE_MS = 2_000


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


def prices():
    return [int(10 ** (6 * ((mix(3 * i + 1) >> 11) * 2.0**-53)) * 100 + 0.5) for i in range(4096)]


def time_of(i):
    return BEGAN_MS + i * 1000 // PER_SECOND


def auction_of(last, h1, h2):
    if h1 & 1:
        return 1000 + last // 100 * 100
    least = max(last - 100, 0)
    return 1000 + least + (h2 >> 1) % (last - least + 11)


def next_person(epoch, h3):
    active = min(epoch + 1, 1000)
    return epoch + 1 - active + (h3 >> 1) % (active + 10)


def bidder_of(epoch, h1, h2):
    if h1 >> 1 & 3:
        return 1000 + epoch // 100 * 100 + 1
    return 1000 + next_person(epoch, mix(h2))


def bids(events):
    extra = [text(i, 32) for i in range(1024)]
    small = [text(i + 7777, 12) for i in range(4)]
    url = [f"https://www.nexmark.com/item.htm?query=1&channel_id={mix(i) & 0xFFFFFF}" for i in range(1024)]
    price = prices()
    for i in range(events):
        epoch, place = divmod(i, 50)
        if place < 4:
            continue
        h1 = mix(i)
        h2 = mix(h1)
        yield (
            auction_of(epoch * 3 + 2, h1, h2),
            bidder_of(epoch, h1, h2),
            price[h1 >> 8 & 4095],
            small[h1 >> 20 & 3],
            url[h1 >> 24 & 1023],
            time_of(i),
            extra[h1 >> 40 & 1023],
        )


def busiest_auctions(events):
    """q5: of each sliding window the auction with the largest number of bids."""
    panes = collections.defaultdict(collections.Counter)
    for i in range(events):
        epoch, place = divmod(i, 50)
        if place >= 4:
            h1 = mix(i)
            panes[time_of(i) // SLIDE_MS][auction_of(epoch * 3 + 2, h1, 0 if h1 & 1 else mix(h1))] += 1
    per_window = WINDOW_MS // SLIDE_MS
    for last in range(min(panes), max(panes) + per_window):
        counts = collections.Counter()
        for pane in range(last - per_window + 1, last + 1):
            counts.update(panes.get(pane, {}))
        if counts:
            most = max(counts.values())
            auction = min(auction for auction, count in counts.items() if count == most)
            yield f"{(last + 1) * SLIDE_MS},{auction},{most}"


def highest_bids(events):
    """q7: of each tumbling window the bid with the highest price."""
    price = prices()
    highest = {}
    for i in range(events):
        if i % 50 >= 4:
            window, cents = time_of(i) // WINDOW_MS, price[mix(i) >> 8 & 4095]
            known = highest.get(window)
            if known is None or known[0] < cents:
                highest[window] = (cents, [i])
            elif known[0] == cents:
                known[1].append(i)
    for cents, indexes in highest.values():
        ties = []
        for i in indexes:
            epoch, h1 = i // 50, mix(i)
            h2 = mix(h1)
            ties.append((time_of(i), auction_of(epoch * 3 + 2, h1, h2), bidder_of(epoch, h1, h2)))
        time, auction, bidder = min(ties)
        yield f"{auction},{cents},{bidder},{time}"


def sellers(events):
    """q8: persons joined with the auctions that they opened in the tumbling window in which they came."""
    price = prices()
    small = [text(i + 7777, 12) for i in range(1024)]
    names, reserves = collections.defaultdict(dict), collections.defaultdict(list)
    for i in range(events):
        epoch, place = divmod(i, 50)
        if place >= 4:
            continue
        window, h1 = time_of(i) // WINDOW_MS, mix(i)
        if place == 0:
            names[window][1000 + epoch] = small[h1 & 1023]
            continue
        h2 = mix(h1)
        h3 = mix(h2)
        seller = epoch // 100 * 100 if h2 >> 32 & 3 else next_person(epoch, h3)
        reserves[window].append((1000 + seller, price[h3 & 4095] + price[h3 >> 16 & 4095]))
    for window, auctions in reserves.items():
        for seller, reserve in auctions:
            if seller in names[window]:
                yield f"{seller},{names[window][seller]},{reserve}"


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


def rows(query, records):
    if query == "q1":
        for auction, bidder, price, channel, url, time, extra in bids(records):
            yield f"{auction},{bidder},{price * 908 // 1000},{channel},{url},{time},{extra}"
    elif query == "q2":
        for bid in bids(records):
            if bid[0] % 123 == 0:
                yield f"{bid[0]},{bid[2]}"
    elif query == "q5":
        yield from busiest_auctions(records)
    elif query == "q7":
        yield from highest_bids(records)
    elif query == "q8":
        yield from sellers(records)
    elif query == "wc":
        for item, count in collections.Counter(words(records)).items():
            yield f"{item},{count}"
    else:
        sys.exit(f"{query} is none of q1, q2, q5, q7, q8, wc")


arguments = [argument for argument in sys.argv[1:] if argument != "--digest"]
if len(arguments) not in (2, 3):
    sys.exit(__doc__)
PER_SECOND = int(arguments[2]) if len(arguments) == 3 else 100_000
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
