#!/usr/bin/env python3
"""Writes the test vectors of the guest contract. Needs `pip install xxhash`.

It shares no code with any SDK or with the host: it writes bytes as sdk/wit/millrace.wit describes them.
"""

import json
import pathlib
import struct

import xxhash

HERE = pathlib.Path(__file__).parent
MAX_PARALLELISMS = [1, 2, 3, 7, 128, 256, 1000, 4096, 32768]


def batch(rows, timestamped=False, keyed=False):
    """rows: (timestamp, key, payload) with what the flags demand."""
    body, ends = b"", []
    for timestamp, key, payload in rows:
        if timestamped:
            body += struct.pack("<q", timestamp)
        if keyed:
            body += struct.pack("<I", len(key)) + key
        body += payload
        ends.append(16 + len(body))
    flags = (1 if timestamped else 0) | (2 if keyed else 0)
    header = b"MRB1" + struct.pack("<III", flags, len(rows), 16 + len(body))
    return header + body + b"".join(struct.pack("<I", end) for end in ends)


def raw_batch(flags, count, index_at, rest, magic=b"MRB1"):
    return magic + struct.pack("<III", flags, count, index_at) + rest


def described(rows, timestamped, keyed):
    out = []
    for timestamp, key, payload in rows:
        row = {}
        if timestamped:
            row["timestamp"] = str(timestamp)
        if keyed:
            row["key"] = key.hex()
        row["payload"] = payload.hex()
        out.append(row)
    return out


def valid(name, rows, timestamped=False, keyed=False):
    return {
        "name": name,
        "timestamped": timestamped,
        "keyed": keyed,
        "rows": described(rows, timestamped, keyed),
        "hex": batch(rows, timestamped, keyed).hex(),
    }


def u32(*values):
    return struct.pack("<" + "I" * len(values), *values)


def batches():
    p = lambda *payloads: [(None, None, payload) for payload in payloads]
    min64, max64 = -(2**63), 2**63 - 1
    good = [
        valid("no rows", []),
        valid("no rows, timestamped and keyed", [], True, True),
        valid("one empty row", p(b"")),
        valid("three empty rows", p(b"", b"", b"")),
        valid("text", p("to be".encode(), "or not".encode(), "Ünïcödé".encode())),
        valid("an empty row between others", p(b"a", b"", b"bc")),
        valid("timestamps", [(0, None, b"a"), (-1, None, b""), (min64, None, b"b"), (max64, None, b"c")], True),
        valid("keys", [(None, b"k", b"v"), (None, b"", b"w"), (None, b"\x00\xff", b"")], False, True),
        valid("timestamps and keys", [(1436918400000, b"key", b"value"), (1, b"", b"")], True, True),
        valid("a row of 1000 bytes", p(bytes(i % 251 for i in range(1000)))),
        valid("300 rows", p(*(bytes([i % 256]) * (i % 5) for i in range(300)))),
    ]
    one = batch(p(b"abc"))
    two = batch(p(b"abc", b"de"))
    bad = [
        ("empty input", b""),
        ("cut in the header", one[:15]),
        ("another magic", b"MRB2" + one[4:]),
        ("an unknown flag", raw_batch(4, 1, 19, b"abc" + u32(19))),
        ("all flags", raw_batch(0xFFFFFFFF, 0, 16, b"")),
        ("an index before the rows", raw_batch(0, 1, 15, u32(16))),
        ("an index inside the header of a batch without rows", raw_batch(0, 0, 12, b"")),
        ("no rows, yet bytes of rows", raw_batch(0, 0, 18, b"ab")),
        ("an index beyond the end", raw_batch(0, 1, 1000, b"abc" + u32(19))),
        ("trailing bytes", one + b"\x00"),
        ("cut in the index", one[:-1]),
        ("one row too many in the header", raw_batch(0, 2, 19, b"abc" + u32(19))),
        ("a number of rows that overflows 32 bits of index", raw_batch(0, 0x40000000, 16, b"")),
        ("the largest number of rows", raw_batch(0, 0xFFFFFFFF, 16, b"")),
        ("row ends that descend", raw_batch(0, 3, 21, b"abcde" + u32(20, 18, 21))),
        ("a row that ends in the header", raw_batch(0, 2, 21, b"abcde" + u32(10, 21))),
        ("a row that ends behind the index", raw_batch(0, 2, 21, b"abcde" + u32(22, 21))),
        ("a gap before the index", raw_batch(0, 1, 19, b"abc" + u32(18))),
        ("a row too short for its timestamp", raw_batch(1, 1, 23, b"1234567" + u32(23))),
        ("an empty row in a batch with timestamps", raw_batch(1, 1, 16, u32(16))),
        ("a row too short for the length of its key", raw_batch(2, 1, 19, b"\x00\x00\x00" + u32(19))),
        ("a key longer than its row", raw_batch(2, 1, 22, u32(3) + b"ab" + u32(22))),
        ("a key of 4 GiB", raw_batch(2, 1, 22, u32(0xFFFFFFFF) + b"ab" + u32(22))),
        ("a key that reaches into the next row", raw_batch(2, 2, 26, u32(2) + b"a" + u32(0) + b"b" + u32(21, 26)[0:8])),
        ("a key longer than its row, with a timestamp", raw_batch(3, 1, 29, bytes(8) + u32(2) + b"a" + u32(29))),
    ]
    assert two == raw_batch(0, 2, 21, b"abcde" + u32(19, 21))
    return {
        "about": "Batches: the layout of sdk/wit/millrace.wit. Bytes are hexadecimal.",
        "valid": good,
        "invalid": [{"reason": reason, "hex": content.hex()} for reason, content in bad],
    }


def fields():
    def write(values):
        ends, end = [], 0
        for value in values:
            end += len(value)
            ends.append(end)
        return u32(len(values), *ends) + b"".join(values)

    good = [
        [],
        [b""],
        [b"JFK", b"13", b""],
        [b"", b"", b""],
        ["Zürich".encode(), 'say "hi"'.encode(), b"a,b"],
        [bytes(str(i), "ascii") for i in range(40)],
    ]
    bad = [
        ("empty input", b""),
        ("cut in the number of fields", b"\x01\x00\x00"),
        ("cut in the table", u32(2, 1)),
        ("more fields than bytes", u32(0xFFFFFFFF)),
        ("a field that ends behind the record", u32(1, 2) + b"a"),
        ("ends that descend", u32(2, 2, 1) + b"ab"),
        ("bytes behind the last field", u32(1, 1) + b"ab"),
        ("bytes behind no fields", u32(0) + b"a"),
    ]
    return {
        "about": "Records of byte strings: the format `fields` of sdk/wit/millrace.wit. Bytes are hexadecimal.",
        "valid": [{"fields": [value.hex() for value in values], "hex": write(values).hex()} for values in good],
        "invalid": [{"reason": reason, "hex": content.hex()} for reason, content in bad],
    }


def key_groups():
    keys = [b"", b"\x00", b"a", b"key", b"to", b"\x02to", b"\x05thing", "Zürich".encode()]
    keys += [struct.pack("<Q", value) for value in (0, 1, 42, 2**63)]
    # The hash takes another path at each of these lengths.
    keys += [bytes(i * 7 % 256 for i in range(length)) for length in (3, 4, 8, 9, 16, 17, 128, 129, 240, 241, 1024, 1025)]
    out = []
    for key in keys:
        digest = xxhash.xxh3_64_intdigest(key, seed=0)
        groups = {str(maximum): digest % maximum for maximum in MAX_PARALLELISMS}
        out.append({"key": key.hex(), "xxh3_64": f"{digest:016x}", "key_groups": groups})
    return {"about": "Key groups: xxh3_64(key, seed 0) mod max-parallelism, by max-parallelism.", "keys": out}


def state():
    keyed = lambda rows: batch([(None, key, payload) for key, payload in rows], keyed=True)
    due = lambda rows: batch(rows, timestamped=True, keyed=True)
    plain = lambda payloads: batch([(None, None, payload) for payload in payloads])
    h = bytes.hex
    at = lambda key, sub_key=b"": u32(len(key)) + key + sub_key
    return {
        "about": "Payloads of the state functions of `host` in sdk/wit/millrace.wit. Bytes are hexadecimal.",
        "get": {
            "keys": [h(at(b"a")), h(at(b"")), h(at(b"c", b"sub"))],
            "request": h(keyed([(at(b"a"), b""), (at(b""), b""), (at(b"c", b"sub"), b"")])),
            "values": [h(b"one"), None, ""],
            "answer": h(plain([b"\x01one", b"\x00", b"\x01"])),
        },
        "scan": {
            "entries": [{"key": h(at(b"a")), "value": h(b"one")}, {"key": h(at(b"a", b"bc")), "value": ""}],
            "answer": h(keyed([(at(b"a"), b"one"), (at(b"a", b"bc"), b"")])),
            "end": h(keyed([])),
        },
        "put": {
            "changes": [
                {"key": h(at(b"a")), "change": "set", "value": h(b"two")},
                {"key": h(at(b"b", b"sub")), "change": "delete"},
                {"key": h(at(b"c")), "change": "append", "value": h(b"+3")},
                {"key": h(at(b"d")), "change": "set", "value": ""},
                {"key": h(at(b"e", b"su")), "change": "delete-all"},
            ],
            "request": h(
                keyed(
                    [
                        (at(b"a"), b"\x01two"),
                        (at(b"b", b"sub"), b"\x00"),
                        (at(b"c"), b"\x02+3"),
                        (at(b"d"), b"\x01"),
                        (at(b"e", b"su"), b"\x03"),
                    ]
                )
            ),
            "invalid": [
                {"reason": "no marker", "hex": h(keyed([(at(b"a"), b"")]))},
                {"reason": "an unknown marker", "hex": h(keyed([(at(b"a"), b"\x04")]))},
                {"reason": "a deletion with a value", "hex": h(keyed([(at(b"a"), b"\x00x")]))},
                {"reason": "a deletion of all with a value", "hex": h(keyed([(at(b"a"), b"\x03x")]))},
                {"reason": "no keys", "hex": h(plain([b"\x01x"]))},
            ],
        },
        "set-timers": {
            "changes": [
                {"timestamp": str(5), "key": h(b"a"), "change": "set", "namespace": ""},
                {"timestamp": str(2**63 - 1), "key": h(b"a"), "change": "set", "namespace": h(b"w")},
                {"timestamp": str(-7), "key": h(b""), "change": "delete", "namespace": ""},
            ],
            "request": h(due([(5, b"a", b"\x01"), (2**63 - 1, b"a", b"\x01w"), (-7, b"", b"\x00")])),
            "invalid": [
                {"reason": "no marker", "hex": h(due([(5, b"a", b"")]))},
                {"reason": "an unknown marker", "hex": h(due([(5, b"a", b"\x02")]))},
                {"reason": "no timestamps", "hex": h(keyed([(b"a", b"\x01")]))},
            ],
        },
        "timers": {
            "due": [
                {"timestamp": str(-7), "key": h(b"b"), "namespace": ""},
                {"timestamp": str(5), "key": h(b"a"), "namespace": h(b"w")},
            ],
            "request": h(due([(-7, b"b", b""), (5, b"a", b"w")])),
        },
    }


for name, content in [("batches", batches()), ("fields", fields()), ("key_groups", key_groups()), ("state", state())]:
    (HERE / f"{name}.json").write_text(json.dumps(content, indent=1, ensure_ascii=False) + "\n", encoding="utf-8")
