"""Can I use OpenAI's Responses, with the server keeping the conversation? Yes, whatever provider answers.

export GENWRIGHT_URL=http://127.0.0.1:7600 GENWRIGHT_API_KEY=gw_…
python examples/go_on_with_responses.py
"""

import os

from openai import OpenAI

client = OpenAI(base_url=os.environ["GENWRIGHT_URL"] + "/v1", api_key=os.environ["GENWRIGHT_API_KEY"])
model = "app/docs-qa"  # or PROVIDER/MODEL, such as local/extractive

first = client.responses.create(model=model, input="What does the nonlocal statement do?")
print(first.output_text.splitlines()[0])

with client.responses.stream(model=model, input="And global?", previous_response_id=first.id) as stream:
    for event in stream:
        if event.type == "response.output_text.delta":
            print(event.delta, end="", flush=True)
    second = stream.get_final_response()

print(f"\nkept as {second.id} after {second.previous_response_id}")
