#!/usr/bin/env python3
"""What a room includes is what src/DEPS allows; src/core knows no clock, thread, socket, chance or libm.

Each rule is tried on a made-up offender first, so that the test itself is known to bite.
"""
import fnmatch
import pathlib
import re
import unittest

ROOT = pathlib.Path(__file__).resolve().parents[2]
SRC = ROOT / "src"
INCLUDE = re.compile(r'^\s*#\s*include\s+([<"])([^>"]+)[>"]', re.M)

# Nothing deterministic may include these, nor say these words outside a comment.
CORE_BANNED_HEADERS = {
    "thread", "mutex", "shared_mutex", "condition_variable", "future", "stop_token", "semaphore", "barrier", "latch",
    "random", "iostream", "fstream", "filesystem", "cstdio", "ctime", "time.h", "stdio.h", "unistd.h", "unordered_map",
    "unordered_set", "atomic",
}
CORE_BANNED_WORDS = [
    (r"\bstd::(exp|exp2|log|log2|log10|log1p|expm1|pow|sin|cos|tan|tanh|cbrt|erf|lgamma|tgamma)\b", "libm's transcendentals"),
    (r"\b(steady_clock|system_clock|high_resolution_clock|clock_gettime|gettimeofday)\b", "a clock"),
    (r"::now\s*\(", "a clock"),
    (r"\bstd::(thread|jthread|mutex|async|atomic)\b", "a thread"),
    (r"\b(socket|connect|accept|recv|send)\s*\(\s*(AF_|fd|sock)", "a socket"),
    (r"\b(rand|srand|random_device|getenv|mt19937)\b", "randomness or an environment that was not handed in"),
]
# Outside headers, and the rooms that may have them.
OUTSIDE = {
    "boost/asio": ["runtime/net"],
    "boost/beast": ["protocol/http"],
    "yaml-cpp/": ["runtime/config"],
    "simdjson": ["protocol/openai", "protocol/engines", "simulate/report", "app/*"],
    "CLI/": ["app/*"],
    "spdlog/": ["runtime/observe"],
    "prometheus/": ["runtime/observe"],
    "sys/socket.h": ["runtime/net"],
    "netinet/": ["runtime/net"],
}
STANDARD = re.compile(r"^[a-z_0-9]+$|^[a-z_0-9/]+\.h$")


def rooms():
    table = {}
    for line in (SRC / "DEPS").read_text().splitlines():
        line = line.split("#")[0].strip()
        if line:
            room, _, allowed = line.partition(":")
            table[room.strip()] = allowed.split()
    return table


def room_of(path, table):
    parts = pathlib.PurePosixPath(path).parts
    for depth in (2, 1):
        if "/".join(parts[:depth]) in table:
            return "/".join(parts[:depth])
    return None


def without_comments(text):
    return re.sub(r"//[^\n]*|/\*.*?\*/", "", text, flags=re.S)


def offences(path, text, table):
    """Of one file, as sentences."""
    found = []
    room = room_of(path, table)
    if room is None:
        return [f"{path}: is in no room of src/DEPS"]
    code = without_comments(text)
    for kind, header in INCLUDE.findall(code):
        if kind == '"':
            target = room_of(header, table)
            if target is None:
                if "/" in header:
                    found.append(f"{path}: includes {header}, which is in no room")
            elif target != room and not any(
                    fnmatch.fnmatch(target, allowed) or fnmatch.fnmatch(header, allowed) for allowed in table[room]):
                found.append(f"{path}: {room} may not include {header}")
        else:
            for prefix, allowed in OUTSIDE.items():
                if header.startswith(prefix) and not any(fnmatch.fnmatch(room, a) for a in allowed):
                    found.append(f"{path}: {room} may not include <{header}>")
            if room == "base" or room.startswith("core/"):
                if not STANDARD.match(header):
                    found.append(f"{path}: {room} may include the standard library only, not <{header}>")
                if room.startswith("core/") and header in CORE_BANNED_HEADERS:
                    found.append(f"{path}: nothing under src/core may include <{header}>")
    if room.startswith("core/"):
        for pattern, what in CORE_BANNED_WORDS:
            for match in re.finditer(pattern, code):
                found.append(f"{path}: '{match.group(0)}': nothing under src/core may use {what}")
    return found


class Deps(unittest.TestCase):
    def test_every_file_keeps_to_the_table(self):
        table, found, seen = rooms(), [], 0
        for path in sorted(SRC.rglob("*")):
            if path.suffix in {".hpp", ".cpp"}:
                seen += 1
                found += offences(path.relative_to(SRC).as_posix(), path.read_text(), table)
        self.assertGreater(seen, 20)
        self.assertEqual(found, [], "\n" + "\n".join(found))

    def test_the_table_has_no_cycle(self):
        table = rooms()

        def reach(room, seen):
            for pattern in table[room]:
                for other in table:
                    if other != room and fnmatch.fnmatch(other, pattern) and other not in seen:
                        seen.add(other)
                        reach(other, seen)
            return seen
        for room in table:
            self.assertNotIn(room, reach(room, set()), room)

    def test_offenders_are_found(self):
        table = rooms()
        for path, text in {
            "core/domain/a.cpp": '#include "runtime/net/loop.hpp"\n',
            "core/plan/b.cpp": "#include <thread>\n",
            "core/plan/c.cpp": "auto t = std::chrono::steady_clock::now();\n",
            "core/estimate/d.cpp": "double x = std::exp(1.0);\n",
            "core/estimate/e.cpp": "int x = rand();\n",
            "protocol/openai/f.cpp": "#include <boost/asio.hpp>\n",
            "runtime/net/g.cpp": '#include "app/gateway/run.hpp"\n',
            "app/bench/h.cpp": '#include "app/gateway/run.hpp"\n',
            "nowhere/i.cpp": "\n",
        }.items():
            self.assertTrue(offences(path, text, table), path)

    def test_the_innocent_pass(self):
        table = rooms()
        for path, text in {
            "core/plan/a.cpp": '#include <vector>\n#include "base/time.hpp"\n// steady_clock is not for us\n',
            "app/cli/b.cpp": '#include "app/gateway/run.hpp"\n',
        }.items():
            self.assertEqual(offences(path, text, table), [], path)


if __name__ == "__main__":
    unittest.main()
