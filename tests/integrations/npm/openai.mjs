// Every face of OpenAI's that the official client for node has, against GENWRIGHT_ADDRESS; prints what came as one JSON object.
import OpenAI, { NotFoundError, BadRequestError, AuthenticationError } from "openai";

const { GENWRIGHT_ADDRESS: address, GENWRIGHT_KEY: apiKey, MODEL: model } = process.env;
const client = new OpenAI({ baseURL: `${address}/v1`, apiKey, maxRetries: 0 });
const messages = [{ role: "user", content: "one two three" }];
const weather = { name: "weather", parameters: { type: "object", properties: { city: { type: "string" } }, required: ["city"] } };
const found = {};

async function kind(promise) {
  try {
    await promise;
    return "no error";
  } catch (error) {
    const name = [NotFoundError, BadRequestError, AuthenticationError].find((type) => error instanceof type)?.name;
    return `${name ?? error.constructor.name} ${error.status} ${error.code} ${error.param}`;
  }
}

found.models = [];
for await (const one of client.models.list()) found.models.push(one.id);
found.chat = (await client.chat.completions.create({ model, messages })).choices[0].message.content;

let text = "";
for await (const chunk of await client.chat.completions.create({ model, messages, stream: true })) {
  text += chunk.choices[0]?.delta?.content ?? "";
}
found.streamed = text;

const tools = [{ type: "function", function: weather }];
const called = await client.chat.completions.create({ model: `${model}-tools`, messages, tools });
const [call] = called.choices[0].message.tool_calls;
found.tool = [call.function.name, JSON.parse(call.function.arguments)];
const after = [...messages, called.choices[0].message, { role: "tool", tool_call_id: call.id, content: "cold" }];
found.afterTool = (await client.chat.completions.create({ model, messages: after, tools })).choices[0].message.content;

const schema = { type: "object", properties: { city: { type: "string" } }, required: ["city"], additionalProperties: false };
const format = { type: "json_schema", json_schema: { name: "city", strict: true, schema } };
const parsed = await client.chat.completions.parse({ model: `${model}-json`, messages, response_format: format });
found.structured = parsed.choices[0].message.parsed ?? JSON.parse(parsed.choices[0].message.content);

const response = await client.responses.create({ model, input: "one two three" });
found.response = response.output_text;
const events = [];
const stream = client.responses.stream({ model, input: "one two three" });
for await (const event of stream) events.push(event.type);
found.responseStream = (await stream.finalResponse()).output_text;
found.responseEvents = [events[0], events.at(-1)];
found.next = (await client.responses.create({ model, input: "four", previous_response_id: response.id })).previous_response_id === response.id;
found.kept = (await client.responses.retrieve(response.id)).output_text;
await client.responses.delete(response.id);
found.gone = await kind(client.responses.retrieve(response.id));

found.embedding = (await client.embeddings.create({ model, input: ["a", "b"] })).data.length;
found.moderation = (await client.moderations.create({ input: "you idiot" })).results[0].flagged;
found.unknownModel = await kind(client.chat.completions.create({ model: "nowhere/m", messages }));
found.badField = await kind(client.chat.completions.create({ model, messages, temperature: 9 }));
found.badKey = await kind(new OpenAI({ baseURL: `${address}/v1`, apiKey: "gw_wrong", maxRetries: 0 }).models.list());
console.log(JSON.stringify(found));
