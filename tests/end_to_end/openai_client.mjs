// The official OpenAI Node client through QLM. Arguments: base URL, model. Prints one JSON object of what it saw.
import { createRequire } from "node:module";
const require = createRequire(process.env.QLM_NODE_MODULES + "/");
const { OpenAI } = await import(require.resolve("openai"));

const [baseURL, model] = process.argv.slice(2);
const client = new OpenAI({ baseURL, apiKey: "unused", maxRetries: 0 });
const messages = [{ role: "user", content: "Say something about queues." }];
const ask = (more, options) =>
  client.chat.completions.create({ model, messages, max_tokens: 8, temperature: 0, ...more }, options);

const seen = {};
const whole = await ask({});
seen.whole = whole.choices[0].message.content;
seen.completion_tokens = whole.usage.completion_tokens;

seen.streamed = "";
seen.usage_chunks = 0;
for await (const chunk of await ask({ stream: true })) {
  seen.streamed += chunk.choices[0]?.delta?.content ?? "";
  if (chunk.usage) seen.usage_chunks++;
}
seen.choices = (await ask({ n: 2 })).choices.length;
try {
  await client.chat.completions.create({ model: model + "x", messages });
} catch (error) {
  seen.unknown_model = error.status;
  seen.unknown_model_message = error.message;
}
const stream = await ask({ stream: true, max_tokens: 1000 });
for await (const chunk of stream) {
  if (chunk.choices.length) break; // leaves: the client aborts the request
}
console.log(JSON.stringify(seen));
