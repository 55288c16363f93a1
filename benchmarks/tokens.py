"""How far the gateway's estimate of tokens is from what tokenizers count, for each kind of text.

The tokenizers are those of OpenAI (o200k, of GPT-4o and later; the package bpe-openai) and of Mistral (Tekken, of its
models since 2024; the package mistral-common), each with its data inside; Anthropic publishes none.

    python benchmarks/tokens.py --setup        installs them, into an environment of their own
"""

from __future__ import annotations

import argparse
import base64
import json
import random
import subprocess
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))
from runtime.services.ai.tokens import bound, quarters

ROOT = Path(__file__).resolve().parents[1]
PLACE = ROOT / "benchmarks" / ".peers" / "tokens"
PACKAGES = ("bpe-openai==0.1.4", "mistral-common==1.13.1")
COUNT = """
import json, pathlib, sys
import bpe_openai, mistral_common
from mistral_common.tokens.tokenizers.tekken import Tekkenizer
data = pathlib.Path(mistral_common.__file__).parent / "data" / "tekken_240911.json"
tekken, openai = Tekkenizer.from_file(str(data)), bpe_openai.get_encoding("o200k_base")
texts = json.load(sys.stdin)
print(json.dumps([[len(openai.encode(text)), len(tekken.encode(text, False, False))] for text in texts]))
"""


def samples() -> dict[str, str]:
    drawn = random.Random(1)
    return {
        "English, with tables": "".join(path.read_text() for path in sorted((ROOT / "docs").glob("[!s]*.md"))),
        "Python": "".join(path.read_text() for path in sorted((ROOT / "runtime/services/ai").glob("*.py"))),
        "JSON": (ROOT / "schemas/spec.v1.json").read_text(),
        **{path.stem.capitalize(): path.read_text() for path in sorted((ROOT / "benchmarks/texts").glob("*.txt"))},
        "base64": base64.b64encode(drawn.randbytes(3000)).decode(),
        "digits": "".join(drawn.choice("0123456789") for _ in range(4000)),
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--setup", action="store_true", help="install the tokenizers first")
    if parser.parse_args().setup:
        subprocess.run([sys.executable, "-m", "uv", "venv", "--quiet", "--clear", str(PLACE)], check=True)
        where = ["--python", str(PLACE / "bin" / "python")]
        subprocess.run([sys.executable, "-m", "uv", "pip", "install", "--quiet", *where, *PACKAGES], check=True)
    if not PLACE.exists():
        print("the tokenizers are not installed: python benchmarks/tokens.py --setup")
        return
    texts = samples()
    command = [str(PLACE / "bin" / "python"), "-c", COUNT]
    done = subprocess.run(command, input=json.dumps(list(texts.values())), capture_output=True, text=True, check=True)
    print(f"{'':22} {'estimate':>9} {'o200k':>14} {'Tekken':>14} {'reserved':>9}")
    for (name, text), counted in zip(texts.items(), json.loads(done.stdout), strict=True):
        estimate = -(-quarters(text) // 4)
        shown = "".join(f" {number:7} {estimate / number - 1:+6.0%}" for number in counted)
        print(f"{name:22} {estimate:9}{shown} {bound(len(text.encode())):9}")


if __name__ == "__main__":
    main()
