"""Templates in Jinja2: sandboxed, escaped in HTML, strict with variables, in the reader's language."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final, NoReturn

from jinja2 import BaseLoader, StrictUndefined, TemplateNotFound, TemplateSyntaxError
from jinja2.exceptions import TemplateError
from jinja2.sandbox import ImmutableSandboxedEnvironment

from runtime.errors import Fault, Invalid, Pointer
from runtime.services.notifications.adapters import babel

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence
    from pathlib import Path

    from jinja2 import Environment

LONGEST: Final = 512 * 1024
"""Characters that a rendered part may have."""


class Missing(Exception):  # noqa: N818 - a finding
    """A template shows a variable that was not given."""

    def __init__(self, name: str) -> None:
        super().__init__(name)
        self.name = name


class Required(StrictUndefined):
    """A variable that was not given: to test it with `is defined` is fine, to show it is an error that names it."""

    def _fail_with_undefined_error(self, *args: Any, **kwargs: Any) -> NoReturn:
        raise Missing(str(self._undefined_name or "?"))

    __iter__ = __str__ = __len__ = __bool__ = __eq__ = __ne__ = __hash__ = __contains__ = _fail_with_undefined_error
    __call__ = __getitem__ = __add__ = __radd__ = _fail_with_undefined_error


class Folder:
    """The templates of one category, in all languages.

    A file `body.html` is in the default language, `body.fr.html` in French. `_layout.html` and whatever else a
    template includes is looked for beside it and one folder up.

    Args:
        path: the folder.
        default: the language of files without one in their name.
    """

    def __init__(self, path: Path, default: str) -> None:
        self.path = path
        self._default = default
        self._environments: dict[str, Environment] = {}
        self._languages = frozenset(self._found())

    def language(self, wanted: Sequence[str]) -> str:
        """The first of the languages that a reader wants in which there are templates: `fr-CA`, then `fr`, and the
        default where there are none."""
        for language in wanted:
            for candidate in _chain(language):
                if candidate in self._languages or candidate == self._default.lower():
                    return candidate
        return self._default.lower()

    @property
    def languages(self) -> list[str]:
        """The languages that there are files for."""
        return sorted(self._languages | {self._default.lower()})

    def has(self, file: str) -> bool:
        """Whether there is such a file, in the default language at least."""
        return (self.path / file).is_file()

    def render(self, file: str, language: str, variables: Mapping[str, Any]) -> str:
        """A file with its variables filled in.

        Raises:
            Invalid: a variable is missing, or the template cannot use its value.
            Fault: the template is wrong.
        """
        try:
            shown = self._environment(language).get_template(file).render(language=language, **variables)
        except Missing as missing:
            raise Invalid(
                f'the template {self.path.name}/{file} shows "{missing.name}", which was not given',
                errors=[Pointer(f"/data/{missing.name}", "missing")],
                remedy=f'Add "{missing.name}" to the data.',
            ) from None
        except TemplateSyntaxError as error:
            raise self._wrong(error) from error
        except TemplateNotFound as error:
            raise Fault(
                f"the template {self.path}/{file} asks for {error.name}, which is not there",
                remedy=f"Put it into {self.path} or {self.path.parent}.",
            ) from error
        except (
            TemplateError,
            TypeError,
            ValueError,
            KeyError,
            AttributeError,
            ArithmeticError,
            RecursionError,
        ) as error:
            said = (str(error) or type(error).__name__).splitlines()[0][:200]
            raise Invalid(
                f"the template {self.path.name}/{file} cannot show its data: {said}",
                errors=[Pointer("/data", said)],
                remedy="Look at the template, and at the kinds of the values.",
            ) from error
        if len(shown) > LONGEST:
            raise Invalid(f"{self.path.name}/{file} becomes too long: {len(shown):,} characters", remedy="Send less.")
        return shown

    def text(self, source: str, variables: Mapping[str, Any]) -> str:
        """A template that stands in the spec itself; raises as `render`."""
        try:
            return self._environment(self._default.lower()).from_string(source).render(**variables)
        except Missing as missing:
            raise Invalid(
                f'"{source}" needs "{missing.name}", which was not given',
                errors=[Pointer(f"/data/{missing.name}", "missing")],
            ) from None
        except TemplateError as error:
            raise Fault(f'"{source}" is no template: {error}', remedy="Correct it in the spec.") from error

    def check(self) -> None:
        """Compiles every file.

        Raises:
            Fault: the first that is wrong, with its line.
        """
        environment = self._environment(self._default.lower())
        for file in sorted(self.path.iterdir()):
            if file.is_file() and file.suffix in (".html", ".txt", ".json"):
                try:
                    environment.parse(file.read_text(encoding="utf-8"), filename=str(file))
                except TemplateSyntaxError as error:
                    raise self._wrong(error) from error
                except (OSError, UnicodeDecodeError) as error:
                    raise Fault(f"the template {file} cannot be read: {error}", remedy="Correct the file.") from error

    def _wrong(self, error: TemplateSyntaxError) -> Fault:
        where = f"{error.filename or error.name or self.path}:{error.lineno}"
        return Fault(f"{where}: {error.message}", remedy="Correct the template.")

    def _environment(self, language: str) -> Environment:
        made = self._environments.get(language)
        if made is None:
            made = self._environments[language] = environment(_Loader(self.path, _chain(language)), language)
        return made

    def _found(self) -> set[str]:
        if not self.path.is_dir():
            raise Fault(f"there is no folder of templates {self.path}", remedy="Correct `template` in the spec.")
        return {parts[1].lower() for file in self.path.iterdir() if len(parts := file.name.split(".")) == 3}


class _Loader(BaseLoader):
    """Finds the file of a language, beside the template and one folder up."""

    def __init__(self, folder: Path, languages: Sequence[str]) -> None:
        self._folders = (folder, folder.parent)
        self._languages = languages

    def get_source(self, environment: Environment, template: str) -> tuple[str, str, Callable[[], bool]]:
        stem, _, suffix = template.rpartition(".")
        if "/" in template or "\\" in template or template.startswith(".."):
            raise TemplateNotFound(template)
        for folder in self._folders:
            for name in (*(f"{stem}.{language}.{suffix}" for language in self._languages), template):
                if path := _file(folder, name):
                    return path.read_text(encoding="utf-8"), str(path), _unchanged(path)
        raise TemplateNotFound(template)


def _file(folder: Path, name: str) -> Path | None:
    """The file of a name, whose language may be written `fr-CA` or `fr-ca`."""
    if (folder / name).is_file():
        return folder / name
    fitting = (each for each in folder.iterdir() if each.name.lower() == name.lower() and each.is_file())
    return next(fitting, None)


def _unchanged(path: Path) -> Callable[[], bool]:
    read = path.stat().st_mtime_ns
    return lambda: path.is_file() and path.stat().st_mtime_ns == read


def environment(loader: BaseLoader | None, language: str) -> Environment:
    """An environment whose templates reach nothing but what they are given."""
    made = ImmutableSandboxedEnvironment(
        loader=loader,
        autoescape=lambda name: name is not None and name.endswith(".html"),
        undefined=Required,
        keep_trailing_newline=False,
        auto_reload=True,
        cache_size=200,
    )
    made.filters.update(babel.filters(language))
    made.policies["json.dumps_kwargs"] = {"sort_keys": False, "ensure_ascii": False}
    return made


def _chain(language: str) -> list[str]:
    """A language and those that it falls back to: `fr-ca`, `fr`."""
    parts = language.replace("_", "-").lower().split("-")
    return ["-".join(parts[:count]) for count in range(len(parts), 0, -1)]
