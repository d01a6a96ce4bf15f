"""The rows of wordcount, computed from their definition: expected/wordcount.py FILE... Shares no code with the SDK."""

import collections
import sys
import unicodedata


def is_word_character(character):
    category = unicodedata.category(character)
    return category.startswith("L") or category == "Nd"


counts = collections.Counter()
for path in sys.argv[1:]:
    with open(path, encoding="utf-8", newline="\n") as file:
        for line in file:
            word = []
            for character in line + " ":
                if is_word_character(character):
                    word.append(character)
                elif word:
                    counts["".join(word).lower()] += 1
                    word = []
for word, count in counts.items():
    print(f"{word},{count}")
