"""The operator's commands, at a QLM that runs real processes of emulated engines."""
import json
import signal
import subprocess
import tempfile
import time
import unittest
from concurrent.futures import ThreadPoolExecutor

from fleet import PATIENCE, QLM, Qlm, get, wait_until
from test_managed import ask, pool, processes, resident


class Operator(unittest.TestCase):
    def setUp(self):
        began = time.monotonic()
        self.addCleanup(lambda: print(f"{self.id()}: {time.monotonic() - began:.1f} s", flush=True))
        folder = tempfile.TemporaryDirectory()
        self.addCleanup(folder.cleanup)
        self.state = folder.name

    def qlm(self, *words, code=0):
        done = subprocess.run([QLM, *words, "--admin", self.admin], capture_output=True, text=True, timeout=PATIENCE)
        self.assertEqual(done.returncode, code, done.stdout + done.stderr)
        return done.stdout if code == 0 else done.stderr

    def known(self, what):
        return json.loads(self.qlm("get", what, "-o", "json"))[what]

    def test_cordon_drain_swap_cancel_reload(self):
        with Qlm(config=pool(self.state, gpus=2, top="policy: fcfs\n")) as qlm, ThreadPoolExecutor(4) as clients:
            self.admin = qlm.admin_address
            wait_until(lambda: sorted(m for _, m in resident(qlm)) == ["mistral-7b", "vicuna-13b"], "each has one")
            where = {model: name for name, model in resident(qlm)}
            home, other = where["mistral-7b"], where["vicuna-13b"]

            # A list, in columns; a nearest name; a wrong word.
            self.assertRegex(self.qlm("get", "instances"), rf"(?m)^INSTANCE .*\n(.*\n)*{home} +ready +mistral-7b")
            self.assertIn(f"Did you mean '{home}'?", self.qlm("cordon", home.replace("here", "hre"), code=1))
            self.qlm("get", "everything", code=2)

            # Pinned: vicuna asks, and mistral stays; swapped to: nobody asks, and it comes.
            self.qlm("swap", home, "mistral-7b", "--pin", "1h")
            self.assertEqual(ask(qlm, "vicuna-13b")[1]["x-qlm-instance"], other)
            self.qlm("swap", other, "mistral-7b", "--pin", "1h")
            wait_until(lambda: sorted(resident(qlm)) == [("here/0", "mistral-7b"), ("here/1", "mistral-7b")], "both serve it")
            away = clients.submit(ask, qlm, "vicuna-13b")
            wait_until(lambda: [r["state"] for r in self.known("requests")] == ["queued"], "it waits")
            for _ in range(3):
                self.assertEqual(ask(qlm)[0], 200)
            self.assertEqual([i["pinned"] for i in self.known("instances")], ["mistral-7b", "mistral-7b"])

            # It is cancelled, and told so.
            waiting = self.known("requests")[0]["id"]
            self.assertIn("here/0", self.qlm("describe", waiting))
            self.qlm("cancel", waiting)
            status, _, body = away.result()
            self.assertEqual((status, json.loads(body)["error"]["code"]), (409, "cancelled"), body)

            # Drained: what runs there is answered, and nothing comes after it.
            self.qlm("cordon", other)
            running = clients.submit(ask, qlm, max_tokens=3000)
            wait_until(lambda: [r.get("instance") for r in self.known("requests")] == [home], "it runs")
            self.qlm("uncordon", other)
            self.qlm("drain", home)
            self.assertEqual(running.result()[0], 200)
            for _ in range(3):
                self.assertEqual(ask(qlm)[1]["x-qlm-instance"], other)
            self.assertIn("drained", self.qlm("describe", home))
            self.assertEqual({i["name"]: i["state"] for i in self.known("instances")}, {home: "cordoned", other: "ready"})
            self.assertEqual(get(qlm.admin + "/health/ready")[0], 200)

            # The file is read again; a wrong one is refused and changes nothing.
            good = qlm.config_file.read_text()
            qlm.config_file.write_text(good.replace("fcfs", "edf"))
            self.qlm("reload")
            self.assertTrue(get(qlm.admin + "/plan")[1].startswith("policy edf"))
            qlm.config_file.write_text(good + "nonsense: 1\n")
            self.assertIn("nonsense", self.qlm("reload", code=1))
            self.assertTrue(get(qlm.admin + "/plan")[1].startswith("policy edf"))

            wait_until(lambda: len([x for x in qlm.lines if "audit: 127.0.0.1:" in x]) == 8, "each act that was done left a line")
            qlm.signal(signal.SIGINT)
            self.assertEqual(qlm.popen.wait(timeout=PATIENCE), 0)
            self.assertEqual(processes(self.state), [])
        self.assertIn("nobody answers", self.qlm("get", "queue", code=1))


if __name__ == "__main__":
    unittest.main()
