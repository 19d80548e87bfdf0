"""The official OpenAI Node client through QLM, before an emulated engine."""
import json
import os
import subprocess
import unittest

from fleet import ROOT, Emulator, Qlm, total, wait_until


class NodeClient(unittest.TestCase):
    def test_whole_streamed_two_choices_errors_and_leaving(self):
        with Emulator("--speed", "20") as engine, Qlm(engine.url) as qlm:
            qlm.wait_ready("mistral-7b")
            done = subprocess.run(
                ["node", "openai_client.mjs", qlm.base_url, "mistral-7b"], cwd=os.path.dirname(os.path.abspath(__file__)),
                env={**os.environ, "QLM_NODE_MODULES": str(ROOT / ".venv/node")}, capture_output=True, text=True,
                timeout=120, check=False)
            self.assertEqual(done.returncode, 0, done.stderr)
            seen = json.loads(done.stdout)
            self.assertTrue(seen["whole"])
            self.assertEqual(seen["streamed"], seen["whole"])
            self.assertEqual(seen["usage_chunks"], 0)
            self.assertEqual(seen["choices"], 2)
            self.assertEqual(seen["unknown_model"], 404)
            self.assertIn("mistral-7b", seen["unknown_model_message"])
            wait_until(lambda: total(engine.metrics(), "vllm:num_requests_running") == 0, "the slot is free")


if __name__ == "__main__":
    unittest.main()
