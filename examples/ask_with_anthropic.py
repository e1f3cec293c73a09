"""Can I use the Anthropic client? Yes: the same server answers in its dialect, for apps and for every model.

export GENWRIGHT_URL=http://127.0.0.1:7600 GENWRIGHT_API_KEY=gw_…
python examples/ask_with_anthropic.py "What does the nonlocal statement do?"
"""

import os
import sys

import anthropic

question = sys.argv[1] if len(sys.argv) > 1 else "What does the nonlocal statement do?"
client = anthropic.Anthropic(base_url=os.environ["GENWRIGHT_URL"], api_key=os.environ["GENWRIGHT_API_KEY"])

with client.messages.stream(
    model="app/docs-qa",  # or PROVIDER/MODEL, such as local/extractive
    max_tokens=1000,
    messages=[{"role": "user", "content": question}],
) as stream:
    for text in stream.text_stream:
        print(text, end="", flush=True)
    usage = stream.get_final_message().usage

print(f"\n{usage.input_tokens} tokens read, {usage.output_tokens} written")
