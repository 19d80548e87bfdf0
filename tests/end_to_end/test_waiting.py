"""Thirty seconds in the queue, by the clock, through the official clients: nobody gives up, nobody is answered wrongly."""
import json
import os
import subprocess
import time
import unittest
from concurrent.futures import ThreadPoolExecutor

import openai

from fleet import ROOT, Emulator, Qlm, post, total, wait_until

BLOCKER_TOKENS = 2800  # at 11.25 ms each: a little over thirty seconds
ASK = {"model": "mistral-7b", "messages": [{"role": "user", "content": "Say something about queues."}], "max_tokens": 12}
NODE = """
import { createRequire } from "node:module";
const { OpenAI } = await import(createRequire(process.env.QLM_NODE_MODULES + "/").resolve("openai"));
const client = new OpenAI({ baseURL: process.argv[1], apiKey: "unused", maxRetries: 0 });
const ask = JSON.parse(process.argv[2]);
const whole = client.chat.completions.create(ask);
let tokens = 0;
for await (const chunk of await client.chat.completions.create({ ...ask, stream: true })) tokens += chunk.choices[0]?.delta?.content ? 1 : 0;
console.log(JSON.stringify({ streamed: tokens, whole: (await whole).usage.completion_tokens }));
"""


class ThirtySeconds(unittest.TestCase):
    def test_streaming_and_not_python_and_node_are_served_after_it(self):
        with Emulator() as engine, Qlm(config=f"instances:\n  - {{url: {engine.url}, max_in_flight: 1}}\n") as qlm, \
                ThreadPoolExecutor(5) as pool:
            qlm.wait_ready("mistral-7b")
            began = time.monotonic()
            blocker = pool.submit(post, qlm.url + "/v1/chat/completions",
                                  {**ASK, "max_tokens": BLOCKER_TOKENS, "ignore_eos": True, "stream": True})
            wait_until(lambda: total(engine.metrics(), "vllm:num_requests_running") == 1, "the slot is taken")
            ask = {**ASK, "extra_body": {"ignore_eos": True}}
            with openai.OpenAI(base_url=qlm.base_url, api_key="unused", max_retries=0) as client:
                whole = pool.submit(client.chat.completions.create, **ask)
                streamed = pool.submit(lambda: sum(bool(c.choices and c.choices[0].delta.content)
                                                   for c in client.chat.completions.create(**ask, stream=True)))
                node = pool.submit(subprocess.run, ["node", "--input-type=module", "-e", NODE, qlm.base_url,
                                                    json.dumps({**ASK, "ignore_eos": True})],
                                   capture_output=True, text=True, timeout=240,
                                   env={**os.environ, "QLM_NODE_MODULES": str(ROOT / ".venv/node")})
                wait_until(lambda: total(qlm.metrics(), "qlm_queue_requests") == 4, "all four wait")
                self.assertEqual(blocker.result()[0], 200)
                waited = time.monotonic() - began
                self.assertEqual(whole.result().usage.completion_tokens, 12)
                self.assertEqual(streamed.result(), 12)
            self.assertEqual(node.result().returncode, 0, node.result().stderr)
            self.assertEqual(json.loads(node.result().stdout), {"streamed": 12, "whole": 12})
            self.assertGreater(waited, 30, "the blocker was to last so long")


if __name__ == "__main__":
    unittest.main()
