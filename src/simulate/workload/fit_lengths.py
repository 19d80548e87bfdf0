#!/usr/bin/env python3
"""Fits the tables of length_tables.cpp from trace CSVs: fit_lengths.py NAME=FILE.csv.gz ... > length_tables.cpp

A table keeps no row of the data it was fitted from: quantiles of the prompt length, and for each eighth of the
requests by prompt length the quantiles of the output length, which keeps how the two depend on each other.
The last knot is not the maximum but the value that gives the topmost segment its mean."""
import csv, gzip, random, sys

PROMPT_KNOTS = [0, .01, .02, .05, .1, .15, .2, .25, .3, .35, .4, .45, .5, .55, .6, .65, .7, .75, .8, .85, .9, .925,
                .95, .97, .98, .99, .995, .999, 1]
OUTPUT_KNOTS = [0, .02, .05, .1, .2, .3, .4, .5, .6, .7, .8, .9, .95, .98, .99, 1]
BUCKETS = 8


def quantiles(values, knots):
    values = sorted(values)
    n = len(values)
    at = [values[min(n - 1, int(p * n))] for p in knots]
    top = values[int(knots[-2] * n):]
    at[-1] = max(at[-2], round(2 * sum(top) / len(top) - at[-2]))
    return at


def rows(path):
    opener = gzip.open if path.endswith(".gz") else open
    with opener(path, "rt") as file:
        return [(int(r["prompt_tokens"]), int(r["output_tokens"])) for r in csv.DictReader(file)]


def numbers(values):
    return "{" + ", ".join(map(str, values)) + "}"


def main():
    print("// Written by fit_lengths.py; the sources and their licences are named in lengths.hpp.\n"
          '#include "simulate/workload/lengths.hpp"\n\nnamespace qlm::workload {\nnamespace {\n')
    names = []
    for argument in sys.argv[1:]:
        name, path = argument.split("=", 1)
        pairs = rows(path)
        random.Random(1).shuffle(pairs)  # equal prompt lengths must not be ordered by their outputs
        pairs.sort(key=lambda pair: pair[0])
        n = len(pairs)
        names.append(name)
        print(f"// {n} pairs, mean {sum(p for p, _ in pairs) / n:.1f} prompt and {sum(o for _, o in pairs) / n:.1f} "
              "output tokens.")
        print(f"constexpr LengthTable {name}{{\n    \"{name}\",")
        print(f"    {numbers(quantiles([p for p, _ in pairs], PROMPT_KNOTS))},\n    {{{{")
        for b in range(BUCKETS):
            part = pairs[b * n // BUCKETS:(b + 1) * n // BUCKETS]
            print(f"        {numbers(quantiles([o for _, o in part], OUTPUT_KNOTS))},")
        print("    }}};\n")
    print(f"constexpr LengthTable all[] = {numbers(names)};\n")
    print("}  // namespace\n\nstd::span<const LengthTable> length_tables() { return all; }\n\n}  // namespace qlm::workload")


main()
