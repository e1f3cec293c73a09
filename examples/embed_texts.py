"""How do I get embeddings? With the OpenAI client; local/minilm is bundled and needs no network.

export GENWRIGHT_URL=http://127.0.0.1:7600 GENWRIGHT_API_KEY=gw_…
python examples/embed_texts.py
"""

import os

import openai

texts = ["A generator yields values.", "yield hands out one value at a time.", "Cheese is made from milk."]
client = openai.OpenAI(base_url=os.environ["GENWRIGHT_URL"] + "/v1", api_key=os.environ["GENWRIGHT_API_KEY"])

reply = client.embeddings.create(model="local/minilm", input=texts)  # PROVIDER/MODEL asks a provider that you added
vectors = [row.embedding for row in reply.data]

print(len(vectors), "vectors of", len(vectors[0]), "numbers;", reply.usage.total_tokens, "tokens")
for text, vector in zip(texts[1:], vectors[1:], strict=True):
    alike = sum(a * b for a, b in zip(vectors[0], vector, strict=True))  # they have length 1: this is the cosine
    print(f"{alike:.2f}  {text}")
