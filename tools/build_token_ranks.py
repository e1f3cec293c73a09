"""Writes `src/genwright/data/o200k_base.xz` from the npm package `tiktoken` (MIT): the merge ranks of o200k_base.

    npm pack tiktoken@1.0.22 && tar xzf tiktoken-1.0.22.tgz && python tools/build_token_ranks.py package/encoders/o200k_base.json

The npm package lists the tokens in base64, in the order of their ranks. Ours is xz over (the length of each token, one byte each;
then all tokens' bytes), since base64 and numbers are four fifths more. The result is checked to be, written in OpenAI's own
format, the very file whose hash the Python package `tiktoken` pins.
"""

import base64
import hashlib
import json
import lzma
import sys
from pathlib import Path

EXPECTED_SHA256 = "446a9538cb6c348e3516120d7c08b09f57c36495e2acfffe59a5bf8b0cfb1a2d"


def main() -> None:
    _, first, *encoded = json.loads(Path(sys.argv[1]).read_text())["bpe_ranks"].split(" ")
    tokens = [base64.b64decode(token) for token in encoded]
    official = b"".join(base64.b64encode(token) + b" %d\n" % rank for rank, token in enumerate(tokens))
    if first != "0" or hashlib.sha256(official).hexdigest() != EXPECTED_SHA256:
        raise SystemExit("These are not the ranks of o200k_base; nothing was written.")
    target = Path(__file__).resolve().parents[1] / "src" / "genwright" / "data" / "o200k_base.xz"
    packed = lzma.compress(bytes(map(len, tokens)) + b"".join(tokens), preset=9 | lzma.PRESET_EXTREME)
    target.write_bytes(packed)
    print(f"{target.name}: {len(packed)} bytes, {len(tokens)} tokens")


if __name__ == "__main__":
    main()
