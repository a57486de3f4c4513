"""Values of parameters in each place of a command and in each shell of this machine."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from orchestune.worker.command import misplaced, render

SHELLS = [[path, *options] for name, *options in (("dash",), ("bash", "--posix"), ("busybox", "sh"))
          if (path := shutil.which(name))]  # fmt: skip
NASTY = (
    "plain", "it's a b", 'say "so" ~ * #x', "$HOME ${HOME} `touch PWNED` $(touch PWNED)", "a; touch PWNED; b", "a\\",
    "\\n\\\\\n}) & |", "'; touch PWNED; '\"; touch PWNED; \"", "\ttab",
)  # fmt: skip
PRINTS = "printf '<%s>'"
PLACES = {
    "a word": "printf '<%s>' {x}; true",
    "behind a here-document with an apostrophe": f"cat >/dev/null <<EOF\nit's here\nEOF\n{PRINTS} {{x}}",
    "behind two here-documents": f"cat >/dev/null <<A <<-'B'\nit's\nA\n\t\"$(\n\tB\n{PRINTS} {{x}}",
    "behind a here-document with a continued line": f"cat >/dev/null <<EOF\na\\\nEOF\n'\nEOF\n{PRINTS} {{x}}",
    "within a here-document": "cat <<EOF\n<{x}>\nEOF\n",
    "within one that is not expanded": "cat <<'EOF'\n<{x}>\nEOF\n",
    "within one with half a quoted word": 'cat <<E"OF"\n<{x}>\nEOF\n',
    "within one without leading tabs": "cat <<-EOF\n\t<{x}>\n\tEOF\n",
    "within a here-document of a substitution": 'printf %s "$(cat <<EOF\n<{x}>\nEOF\n)"',
    "a substitution within a here-document": f'cat <<EOF\n"it\'s" $({PRINTS} {{x}})\nEOF\n',
    "within double quotes": "printf '<%s>' \"{x}\"; true",
    "within single quotes": "printf '<%s>' '{x}'; true",
    "within a substitution": f'printf %s "$({PRINTS} {{x}})"',
    "within case": f'printf %s "$(case a in (b) ;; a) {PRINTS} {{x}};; esac)"',
    "within case in case": f'printf %s "$(case a in a) case b in b) {PRINTS} {{x}};; esac esac)"',
    "behind case": f'x="$(if true; then case a in a) true;; esac fi; echo "it\'s")"; {PRINTS} {{x}}',
    "behind the word case": f'x="$(echo case)"; {PRINTS} {{x}}',
    "behind braces": f'x="${{Y:-it\'s}}"; {PRINTS} "{{x}}"',
    "behind braces with a pattern": f"y=a#b; x=${{y#a'}}'}}; {PRINTS} {{x}}",
    "behind a number of letters": f"y=a; true ${{#y}} $# $'a'; {PRINTS} {{x}}",
    "behind arithmetic": f"true $((1<<2)) $(((1+2)*3)); {PRINTS} {{x}}",
    "behind a comment": f"true # don't\n{PRINTS} {{x}} # {{x}}\n",
    "behind backticks": f'x=`echo "it\'s"`; {PRINTS} {{x}}',
    "in a subshell with a here-document": f"(cat >/dev/null <<EOF; {PRINTS} {{x}})\nit's\nEOF\n",
    "with braces": f"f() {{{{ {PRINTS} {{x}}; }}}}; f",
}


def _arrived(shell: list[str], run: str, value: str, folder: Path) -> bytes:
    command = render(run, {"x": value}, ["x"])
    assert command[:2] == ["sh", "-c"]
    return subprocess.run(
        [*shell, *command[1:]], capture_output=True, check=True, cwd=folder, env={"HOME": "/h", "PATH": "/usr/bin:/bin"}
    ).stdout


@pytest.mark.parametrize("shell", SHELLS, ids=lambda shell: Path(shell[0]).name)
@pytest.mark.parametrize("place", PLACES)
def test_a_value_arrives_byte_for_byte(place: str, shell: list[str], tmp_path: Path) -> None:
    for value in NASTY:
        arrived = _arrived(shell, PLACES[place], value, tmp_path)
        assert f"<{value}>" in arrived.decode(), arrived
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize(
    ("run", "where"),
    [
        ('printf %s "${Y:-"{x}"}"', "within ${…}"),
        ("printf %s ${Y:-{x}}", "within ${…}"),
        ("y=`printf %s {x}`", "within `…`; write $(…) instead"),
        ("printf %s $'{x}'", "within $'…'"),
        ("y=$[{x}]; true", "within $[…]"),
        ("printf %s $y{x}", "directly after $y, whose name it would extend; write ${y}"),
        ('printf %s "$y{x}"', "directly after $y"),
        ("cat <<EOF\n$y{x}\nEOF\n", "directly after $y"),
        ("printf %s \\{x}", "after a backslash"),
        ('printf %s "\\{x}"; true', "after a backslash"),
        ("printf %s $'it\\'s' {x}", "after syntax that shells parse differently"),
        ("cat <<{x}\na\n{x}\n", "after syntax that shells parse differently"),
        ("cat <<EOF\n{x}\n", "after syntax that shells parse differently"),
        ('y="${Y#it\'s}" {x}', "after syntax that shells parse differently"),
        ("y=$(cat <<EOF)\n{x}\nEOF\n", "after syntax that shells parse differently"),
    ],
)
def test_a_place_where_no_value_can_be_written_is_told(run: str, where: str) -> None:
    assert misplaced(run)["x"].startswith(where)
    with pytest.raises(ValueError, match=r"{x} is "):
        render(run, {"x": "a"}, ["x"])


@pytest.mark.parametrize("shell", SHELLS, ids=lambda shell: Path(shell[0]).name)
def test_arithmetic_takes_numbers_alone(shell: list[str], tmp_path: Path) -> None:
    run = "printf '<%s>' $(( ({x} + 1) * 2 ))"
    assert _arrived(shell, run, "3", tmp_path) == b"<8>"
    for text in ("a[$(touch PWNED)]", "a b", "HOME"):
        with pytest.raises(ValueError, match="must be a number"):
            render(run, {"x": text}, ["x"])


@pytest.mark.parametrize(
    ("body", "value"),
    [("{x}", "EOF"), ("{x}", "a\nEOF\ntouch PWNED"), ("E{x}", "OF"), ("{x}OF", "a\nE"), ("EOF{x}", "")],
)
@pytest.mark.parametrize("quote", ["", "'"])
def test_a_value_that_would_end_a_here_document_is_refused(body: str, value: str, quote: str) -> None:
    run = f"cat <<{quote}EOF{quote}\n{body}\nEOF\n"
    with pytest.raises(ValueError, match="would end the here-document"):
        render(run, {"x": value}, ["x"])


def test_a_value_in_a_comment_stays_in_its_line(tmp_path: Path) -> None:
    assert _arrived(["sh"], "echo a # {x}\n", "b\ntouch PWNED", tmp_path) == b"a\n"
    assert not list(tmp_path.iterdir())


@given(st.text(st.sampled_from("'\"`$(){}\\\n\t #;|&<>ab"), max_size=12))
def test_any_value_arrives_in_a_here_document(value: str) -> None:
    run = "cat <<EOF\n<{x}>\nEOF\ncat <<'END'\n[{x}]\nEND\n"
    command = render(run, {"x": value}, ["x"])
    assert subprocess.run(command, capture_output=True, check=True).stdout.decode() == f"<{value}>\n[{value}]\n"
