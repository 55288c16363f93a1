"""Templates: languages, what is escaped, what is refused, and how the starter templates read."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest

from runtime.errors import Fault, Invalid
from runtime.services.notifications.channels.port import MailContent, PushContent
from runtime.services.notifications.plain import text_of
from runtime.services.notifications.spec import NotificationsSpec
from runtime.services.notifications.templates import Templates
from runtime.spec.load import load
from tests.services.notifications.site import FILES, write

ROOT = Path(__file__).parents[3]


def templates(folder: Path, files: dict[str, str], *, languages: list[str] | None = None, **more: Any) -> Templates:
    write(folder / "t", {**FILES, **files})
    spec = {
        "languages": languages or ["en"],
        "channels": {
            "email": {"kind": "smtp", "host": "h", "from": "a@example.com"},
            "in_app": {"kind": "in_app"},
            "push": {"kind": "webpush", "vapid": {"subject": "mailto:ops@example.com"}},
        },
        "categories": {"news": {"channels": ["in_app", "email", "push"], "template": "t", **more}},
    }
    return Templates(NotificationsSpec.model_validate(spec), folder, "core", {"settings_url": None})


def mail(made: Templates, *languages: str, **data: Any) -> MailContent:
    found = made.content("news", "email", data, made.language("news", languages))
    assert isinstance(found, MailContent)
    return found


def test_html_is_escaped_and_text_is_not(tmp_path: Path) -> None:
    shown = mail(templates(tmp_path, {"body.txt": "{{ thing }}"}), thing="<b>&</b>")
    assert shown.subject == "About <b>&</b>"
    assert shown.text == "<b>&</b>\n"
    assert shown.html is not None
    assert "&lt;b&gt;&amp;&lt;/b&gt;" in shown.html


def test_a_subject_is_one_line(tmp_path: Path) -> None:
    assert mail(templates(tmp_path, {}), thing="a\r\nBcc: eve@example.com").subject == "About a Bcc: eve@example.com"


@pytest.mark.parametrize(
    ("wanted", "language", "subject"),
    [
        (["fr-CA"], "fr-ca", "Québec x"),
        (["fr"], "fr", "Sur x"),
        (["fr-BE"], "fr", "Sur x"),
        (["sv", "fr"], "fr", "Sur x"),
        (["en-GB"], "en", "About x"),
        (["sv"], "en", "About x"),
        ([], "en", "About x"),
    ],
)
def test_a_language_falls_back(tmp_path: Path, wanted: list[str], language: str, subject: str) -> None:
    files = {"subject.fr.txt": "Sur {{ thing }}", "subject.fr-CA.txt": "Québec {{ thing }}", "title.fr.txt": "Titre"}
    made = templates(tmp_path, files, languages=["en", "fr"])
    assert made.language("news", wanted) == language
    assert mail(made, *wanted, thing="x").subject == subject
    if language == "fr-ca":  # file by file
        assert made.title("news", {"thing": "x"}, language, None)[0] == "Titre"


@pytest.mark.parametrize(
    ("template", "language", "shown"),
    [
        ("{{ n | plural(one='# file', other='# files') }}", "en", "1,234 files"),
        ("{{ 1 | plural(one='# file', other='# files') }}", "en", "1 file"),
        ("{{ 3 | plural(one='# plik', few='# pliki', many='# plików', other='# pliku') }}", "pl", "3 pliki"),
        ("{{ n | number }}", "de", "1.234"),
        ("{{ '12.5' | money('EUR') }}", "de", "12,50\xa0€"),
        ("{{ '2026-03-01T12:00:00Z' | date }}", "fr", "1 mars 2026"),
        ("{{ '2026-03-01T23:30:00Z' | datetime('short', 'Asia/Tokyo') }}", "en", "3/2/26, 8:30\u202fAM"),
    ],
)
def test_dates_numbers_and_plurals_are_of_the_language(
    tmp_path: Path, template: str, language: str, shown: str
) -> None:
    made = templates(tmp_path, {f"subject.{language}.txt": template}, languages=["en"])
    assert mail(made, language, n=1234, thing="x").subject == shown.replace("\xa0", " ").replace("\u202f", " ")


@pytest.mark.parametrize("attack", [
    "{{ ''.__class__.__mro__[1].__subclasses__() }}",
    "{{ self.__init__.__globals__ }}",
    "{{ cycler.__init__.__globals__.os }}",
    "{{ thing.format.__globals__ }}",
    "{% for x in range(99999999) %}x{% endfor %}",
    "{{ '%s' | format('x') * 9999999 }}",
])  # fmt: skip
def test_a_template_reaches_nothing(tmp_path: Path, attack: str) -> None:
    made = templates(tmp_path, {"subject.txt": attack})
    with pytest.raises(Invalid):
        mail(made, thing="x")


def test_what_a_user_writes_is_no_template(tmp_path: Path) -> None:
    assert mail(templates(tmp_path, {}), thing="{{ 7 * 7 }}").subject == "About {{ 7 * 7 }}"


def test_a_missing_variable_is_named(tmp_path: Path) -> None:
    for source in ("{{ other }}", "{{ other.deep }}", "{% if other %}x{% endif %}", "{{ other | upper }}"):
        with pytest.raises(Invalid) as refused:
            mail(templates(tmp_path, {"subject.txt": source}), thing="x")
        assert refused.value.errors[0].pointer == "/data/other", source
    assert (
        mail(templates(tmp_path, {"subject.txt": "{% if other is defined %}x{% endif %}ok"}), thing="x").subject == "ok"
    )


def test_every_language_is_looked_at_before_anything_is_sent(tmp_path: Path) -> None:
    made = templates(tmp_path, {"subject.fr.txt": "{{ chose }}"}, languages=["en", "fr"])
    with pytest.raises(Invalid, match="chose"):
        made.check("news", ["email"], {"thing": "x"}, None)


@pytest.mark.parametrize(
    ("files", "said"),
    [
        ({"subject.txt": "{% if %}"}, r"subject\.txt:1"),
        ({"body.html": "a\n{{ x"}, r"body\.html:2"),
    ],
)
def test_a_wrong_template_is_said_at_the_start_with_its_line(tmp_path: Path, files: dict[str, str], said: str) -> None:
    with pytest.raises(Fault, match=said):
        templates(tmp_path, files)


def test_a_missing_file_is_said_at_the_start(tmp_path: Path) -> None:
    write(tmp_path / "t", {name: content for name, content in FILES.items() if name != "push.json"})
    section = {
        "channels": {"push": {"kind": "webpush", "vapid": {"subject": "mailto:ops@example.com"}}},
        "categories": {"news": {"channels": ["push"], "template": "t"}},
    }
    spec = NotificationsSpec.model_validate(section)
    with pytest.raises(Fault, match=r'category "news" goes out as push, and .* has no push\.json'):
        Templates(spec, tmp_path, "core", {})


def test_push_must_be_json(tmp_path: Path) -> None:
    made = templates(tmp_path, {"push.json": '{"title": "{{ thing }}"}'})
    with pytest.raises(Invalid, match=r"push\.json makes no JSON object"):
        made.content("news", "push", {"thing": 'a"b'}, "en")


@pytest.mark.parametrize(
    ("html", "text"),
    [
        ("<style>p{}</style><p>a</p>\n<p>b<br>c</p>", "a\n\nb\nc"),
        ("<ul><li>a</li><li>b</li></ul>", "- a\n- b"),
        ('<a href="https://x.example">https://x.example</a>', "https://x.example"),
        ('<div style="display: none">hidden</div><p>&lt;b&gt; &amp; co</p>', "<b> & co"),
        ("<p>unclosed <b>bold", "unclosed bold"),
    ],
)
def test_text_is_made_of_html(html: str, text: str) -> None:
    assert text_of(html) == text


DATA = {
    "title": "A <title>", "text": "Some text & more", "balance": "12.50 USD", "actor": "Ada", "place": "Team",
    "sender": "Ada", "routine": "brief", "when": "tomorrow at nine", "status": "open", "thing": "a bicycle",
}  # fmt: skip


def starters() -> tuple[Templates, NotificationsSpec]:
    spec = load(ROOT / "specs" / "development.yaml").spec
    assert spec.notifications is not None
    return Templates(
        spec.notifications, ROOT / "specs", "core", {"settings_url": "https://app.example.com/me"}
    ), spec.notifications


def test_every_starter_template_reads_well() -> None:
    made, spec = starters()
    assert len(spec.categories) == 17
    for category in spec.categories:
        shown = made.content(
            category, "email", DATA, "en", link="https://app.example.com/x", unsubscribe="https://u.example/"
        )
        assert isinstance(shown, MailContent)
        assert shown.html is not None
        assert shown.html.startswith("<!doctype html>"), category
        assert "prefers-color-scheme: dark" in shown.html
        assert "A <title>" not in shown.html
        for needed in ("https://app.example.com/x", "https://u.example/", "https://app.example.com/me"):
            assert needed in shown.html, (category, needed)
            assert needed in shown.text, (category, needed)
        for output in (shown.subject, shown.text):
            assert not re.search(r"[{}]|None|undefined", output), (category, output)
        assert not re.search(r"\n{4,}", shown.text)
        push = made.content(category, "push", DATA, "en")
        assert isinstance(push, PushContent)
        title, _ = made.title(category, DATA, "en", None)
        assert title
        assert len(push.title) <= 128
