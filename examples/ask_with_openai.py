"""How do I ask an app from my own program? With the OpenAI client that you have: another base_url, model = app/NAME.

export GENWRIGHT_URL=http://127.0.0.1:7600 GENWRIGHT_API_KEY=gw_…
python examples/ask_with_openai.py "What does the nonlocal statement do?"
"""

import os
import sys

import openai

question = sys.argv[1] if len(sys.argv) > 1 else "What does the nonlocal statement do?"
client = openai.OpenAI(base_url=os.environ["GENWRIGHT_URL"] + "/v1", api_key=os.environ["GENWRIGHT_API_KEY"])

stream = client.chat.completions.create(
    model="app/docs-qa",  # the release in production; app/docs-qa@2 or app/docs-qa@draft ask another one
    messages=[{"role": "user", "content": question}],
    stream=True,
)
told = {}
for chunk in stream:
    # The first chunk says which release answers, from which passages, and under which trace.
    told = (chunk.model_extra or {}).get("genwright") or told
    if chunk.choices:
        print(chunk.choices[0].delta.content or "", end="", flush=True)

print()
for passage in told["passages"]:
    print(f"  [{passage['n']}] {passage['name']}, characters {passage['start']}–{passage['end']}")
print("trace", told["trace"])
