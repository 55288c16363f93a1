"""Pyodide's files, changed so that they run in a bare V8: the loader looks for a browser, Node or a shell."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from runtime.errors import Fault

if TYPE_CHECKING:
    from collections.abc import Mapping

_EXPORT: Final = "export default _createPyodideModule;"
_FROM_A_SHELL: Final = "if(ENVIRONMENT_IS_SHELL){return view=>{if(!os.system)"
_FROM_THE_WEB: Final = "return view=>crypto.getRandomValues(view)"


def prepared(files: Mapping[str, bytes]) -> dict[str, bytes]:
    """The files of a bundle, but for its snapshot, by name.

    Raises:
        Fault: the package is not built as the known one is.
    """
    return {
        "glue.js": glue(files["pyodide.asm.mjs"].decode(), files["pyodide.js"].decode()).encode(),
        "python.wasm": files["pyodide.asm.wasm"],
        "library.zip": files["python_stdlib.zip"],
        "lock.json": files["pyodide-lock.json"],
    }


def glue(module: str, loader: str) -> str:
    """One classic script of Pyodide's module and its loader."""
    module = _replaced(module, "import.meta.url", '"file:///pyodide.asm.mjs"')
    begin = module.find(_FROM_A_SHELL)
    end = module.find(_FROM_THE_WEB, begin)
    if begin < 0 or end < 0:
        raise _unknown("where it takes random bytes from")
    module = module[:begin] + module[end:]  # from our shell's `crypto`, which the host seeds
    # A module that is compiled comes from another realm's class than the one that the shell wraps.
    module = _replaced(module, "binary instanceof WebAssembly.Module", "!ArrayBuffer.isView(binary)")
    return _replaced(module, _EXPORT, "") + "\n" + loader


def _replaced(text: str, old: str, new: str) -> str:
    if old not in text:
        raise _unknown(old)
    return text.replace(old, new)


def _unknown(what: str) -> Fault:
    return Fault(f"this version of Pyodide is not built as the known one is: {what} is not found in it")
