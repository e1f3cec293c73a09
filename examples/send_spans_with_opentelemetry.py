"""How do I see my own program's steps beside the app's answer? Send its spans to /v1/traces, and pass the trace on.

export GENWRIGHT_URL=http://127.0.0.1:7600 GENWRIGHT_API_KEY=gw_…
python examples/send_spans_with_opentelemetry.py
"""

import os

import openai
from opentelemetry import propagate
from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import BatchSpanProcessor

url, key = os.environ["GENWRIGHT_URL"], os.environ["GENWRIGHT_API_KEY"]
exporter = OTLPSpanExporter(endpoint=url + "/v1/traces", headers={"authorization": f"Bearer {key}"})
provider = TracerProvider(resource=Resource.create({"service.name": "my-service"}))
provider.add_span_processor(BatchSpanProcessor(exporter))
tracer = provider.get_tracer("my-service")

with tracer.start_as_current_span("answer a customer") as span:
    span.set_attribute("user.id", "ada")
    headers: dict[str, str] = {}
    propagate.inject(headers)  # traceparent: the app's spans hang below this one, in one trace
    client = openai.OpenAI(base_url=url + "/v1", api_key=key, default_headers=headers)
    answer = client.chat.completions.create(
        model="app/docs-qa", messages=[{"role": "user", "content": "What does the nonlocal statement do?"}]
    )
    print(answer.choices[0].message.content)

provider.shutdown()  # sends what is queued
print("trace", f"{span.get_span_context().trace_id:032x}")
