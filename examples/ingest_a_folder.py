"""How do I put my own documents in? Add each, build an index version, search it.

    export GENWRIGHT_URL=http://127.0.0.1:7600 GENWRIGHT_API_KEY=gw_…
    python examples/ingest_a_folder.py FOLDER "a question"

`genwright ingest FOLDER` does the same with a progress bar, .gitignore rules, and removal of files that are gone.
"""

import sys
from pathlib import Path

from genwright.client import Client

folder = Path(sys.argv[1])
question = sys.argv[2] if len(sys.argv) > 2 else "What is this about?"

with Client() as client:  # GENWRIGHT_URL and GENWRIGHT_API_KEY, else the server of this folder
    for file in sorted(path for path in folder.rglob("*") if path.is_file()):
        row = client.retrieval.add_document(corpus=folder.name, name=str(file.relative_to(folder)), data=file.read_bytes())
        print(f"{row['state']:8} {row['name']} {row['reason']}")  # what cannot be read is listed and skipped

    job = client.retrieval.build(corpus=folder.name, index=folder.name, label="production")
    while job["state"] in ("queued", "running"):
        job = client.jobs.get(job_id=job["id"], wait_s=5)
    print(job["state"], job["error"] or job["result"]["index"])  # the version is named by its digest and never changes

    for passage in client.retrieval.search(index=f"index:{folder.name}@production", query=question, mode="hybrid", k=3)["items"]:
        print(f"[{passage['n']}] {passage['name']} {passage['start']}–{passage['end']}: {passage['text'][:80]!r}")
