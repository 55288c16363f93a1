"""The YAML parser's complaints in words that help: where to look, and what to write."""

from __future__ import annotations

from yaml import MarkedYAMLError, YAMLError
from yaml.reader import Reader, ReaderError

from runtime.spec.places import Source, Span

_WORDS = (
    ("mapping values are not allowed", 'a ":" is not expected here; check the indentation, or use quotes'),
    ("did not find expected key", "the indentation fits no key above, or a quote or bracket ends too early"),
    ("did not find expected '-' indicator", 'expected "- " as in the list above; check the indentation'),
    ("block sequence entries are not allowed", 'a "- " is not expected here; a list begins on its own line'),
    ("did not find expected ',' or '}'", 'expected "," or "}"'),
    ("did not find expected ',' or ']'", 'expected "," or "]"'),
    ("did not find expected node content", "a value is missing here"),
    ("could not find expected ':'", 'expected ":" after the key'),
    ("found unknown escape character", "this escape is unknown; write \\\\ or use single quotes"),
    ("hexdecimal number", "this escape needs hexadecimal digits"),
    ("invalid Unicode character escape", "this escape is no Unicode character"),
    ("found undefined tag handle", "this tag has no meaning here; leave it out"),
    ("found a tab character", "a tab cannot indent; use spaces"),
    ("expected alphabetic or numeric", "a name must follow & or *; put the text in quotes if it is none"),
    ("expected comment or line break", "nothing but a comment may follow | or > on its line"),
    ("found incompatible YAML document", "this YAML version is not known; leave the %YAML line out"),
    ("did not find expected <document start>", "this belongs to nothing above; check the indentation"),
    ("found unexpected document indicator", "the document ends inside a text; a closing quote is missing"),
)  # fmt: skip


def explain(source: Source, error: YAMLError, opened: Span | None) -> tuple[Span, str]:
    """Where a syntax error stands, and what it means.

    Args:
        source: the file.
        error: what the parser raised.
        opened: the innermost bracket that has not been closed.
    """
    if isinstance(error, ReaderError):
        return _unreadable(source, error)
    if not isinstance(error, MarkedYAMLError) or error.problem_mark is None:
        return Span(1, 1, 1), "this is no YAML"
    mark, problem = error.problem_mark, error.problem or ""
    at_end = mark.index >= len(source.text.rstrip())
    if "unexpected end of stream" in problem and error.context_mark is not None:
        mark = error.context_mark
        return Span(mark.line + 1, mark.column + 1, 1), "this quote is never closed"
    if at_end and opened is not None:
        bracket = source.line(opened.line)[opened.column - 1 : opened.column]
        return opened, f'this "{bracket}" is never closed'
    where = Span(mark.line + 1, mark.column + 1, 1)
    if "cannot start any token" in problem:
        found = source.text[mark.index : mark.index + 1]
        if found == "\t":
            return where, "a tab cannot indent; use spaces"
        return where, f'text cannot begin with "{found}"; put it in quotes'
    for words, meaning in _WORDS:
        if words in problem:
            if at_end:
                last = source.text.rstrip()
                line = last.count("\n") + 1
                where = Span(line, max(1, len(last) - last.rfind("\n") - 1), 1)
                return where, f"the file ends too early: {meaning}"
            return where, meaning
    return where, f"this is no YAML: {problem}"


def _unreadable(source: Source, error: ReaderError) -> tuple[Span, str]:
    match = Reader.NON_PRINTABLE.search(source.text)
    if match is None:
        return Span(1, 1, 1), f"this is no text: {error.reason}"
    before = source.text[: match.start()]
    line, column = before.count("\n") + 1, match.start() - before.rfind("\n")
    return Span(line, column, 1), f"a control character (U+{ord(match[0]):04X}) has no place in a text file"
