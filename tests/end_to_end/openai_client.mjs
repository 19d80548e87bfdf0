// The official OpenAI Node client through QLM. Arguments: base URL, model, the length of an answer that takes seconds.
// Prints one JSON object of what it saw.
import { createRequire } from "node:module";
const require = createRequire(process.env.QLM_NODE_MODULES + "/");
const { OpenAI } = await import(require.resolve("openai"));

const [baseURL, model, long] = process.argv.slice(2);
const client = new OpenAI({ baseURL, apiKey: "unused", maxRetries: 0 });
const messages = [{ role: "user", content: "Say something about queues." }];
const ask = (more, options) =>
  client.chat.completions.create({ model, messages, max_tokens: 8, temperature: 0, ...more }, options);

const seen = {};
const whole = await ask({});
seen.whole = whole.choices[0].message.content;
seen.completion_tokens = whole.usage.completion_tokens;

const usageOnly = (chunk) => (chunk.usage && !chunk.choices.length ? 1 : 0);
seen.streamed = "";
seen.usage_chunks = 0;
for await (const chunk of await ask({ stream: true })) {
  seen.streamed += chunk.choices[0]?.delta?.content ?? "";
  seen.usage_chunks += usageOnly(chunk);
}
seen.usage_chunks_asked = 0;
for await (const chunk of await ask({ stream: true, stream_options: { include_usage: true } })) {
  seen.usage_chunks_asked += usageOnly(chunk);
}
seen.choices = (await ask({ n: 2, temperature: 1 })).choices.length;
seen.logprobs = (await ask({ logprobs: true, top_logprobs: 1 })).choices[0].logprobs.content.length;

const parameters = { type: "object", properties: { at: { enum: ["x"] } }, required: ["at"], additionalProperties: false };
const tools = [{ type: "function", function: { name: "look", parameters } }];
const called = await ask({ tools, tool_choice: "required", max_tokens: 200 });
seen.tool = called.choices[0].message.tool_calls?.[0]?.function.name;

try {
  await client.chat.completions.create({ model: model + "x", messages });
} catch (error) {
  seen.unknown_model = error.status;
  seen.unknown_model_message = error.message;
}
const stream = await ask({ stream: true, max_tokens: Number(long) });
for await (const chunk of stream) {
  if (chunk.choices.length) break; // leaves: the client aborts the request
}
console.log(JSON.stringify(seen));
