#!/usr/bin/env python3
"""What the program can say to a client is in docs/clients.md."""
import pathlib
import re
import unittest

ROOT = pathlib.Path(__file__).resolve().parents[2]


class Docs(unittest.TestCase):
    def test_every_refusal_is_in_the_clients_page_with_its_status(self):
        rules = re.findall(r'^\s*\{\w+, (\d+), "\w+", "(\w+)", (?:true|false)\},$',
                           (ROOT / "src/protocol/openai/errors.cpp").read_text(encoding="utf-8"), re.M)
        self.assertGreater(len(rules), 15)
        page = (ROOT / "docs/clients.md").read_text(encoding="utf-8")
        rows = [line for line in page.splitlines() if line.startswith("| ")]
        for status, code in rules:
            with self.subTest(code=code):
                self.assertTrue(any(line.startswith(f"| {status} |") and f"`{code}`" in line for line in rows))


if __name__ == "__main__":
    unittest.main()
