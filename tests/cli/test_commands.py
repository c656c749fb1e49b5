"""The commands as a person or a script meets them: what they print, write and return."""

from __future__ import annotations

import contextlib
import csv
import json
import os
import re
import shlex
import signal
import subprocess
import sys
import time
from importlib import metadata
from pathlib import Path

import numpy as np
import pytest
import typer
from typer.testing import CliRunner

from loopsphere.cli import console, options
from loopsphere.cli.commands import app
from loopsphere.collection.embedding import DEFAULT_ENCODER
from loopsphere.detect import DEFAULT_DETECTOR, SCAN_DETECTOR
from loopsphere.learning.from_embeddings import DEFAULT_ALPHA

README = Path(__file__).parents[2] / "README.md"
COMMANDS = sorted(command.name or command.callback.__name__ for command in app.registered_commands)


@pytest.fixture
def heard_interrupts():
    """A shell starts background jobs, such as these tests, deaf to Ctrl-C; their children would be too."""
    usual = signal.signal(signal.SIGINT, signal.default_int_handler)
    yield
    signal.signal(signal.SIGINT, usual)


def run(*arguments: str | Path, stdin: str | None = None):
    return CliRunner().invoke(app, [str(argument) for argument in arguments], input=stdin)


def test_help_is_there_for_every_command():
    assert run("--help").exit_code == 0
    for command in COMMANDS:
        result = run(command, "--help")
        assert result.exit_code == 0
        assert f"loopsphere {command}" in result.output.split("Example:")[1]


def test_every_command_is_in_the_readme():
    text = README.read_text(encoding="utf-8")
    assert [command for command in COMMANDS if f"loopsphere {command}" not in text] == []


def test_every_option_of_the_readme_and_the_docs_exists():
    pages = [README, *sorted((README.parent / "docs").rglob("*.md"))]
    text = "\n".join(page.read_text(encoding="utf-8") for page in pages)
    known = {command: set(re.findall(r"--?[a-z-]+", run(command, "--help").output)) for command in COMMANDS}
    used = re.findall(r"^\$ (?:.*\| )?loopsphere (\w+)(.*)$", text, flags=re.MULTILINE)
    assert len(used) > 10
    for command, rest in used:
        unknown = set(re.findall(r"(?<=\s)--?[a-z-]+", rest.partition("#")[0])) - known[command]
        assert not unknown, f"loopsphere {command} has no {unknown}"


def test_version():
    done = run("--version")
    assert (done.exit_code, done.stdout) == (0, f"loopsphere {metadata.version('loopsphere')}\n")


@pytest.mark.parametrize(
    ("given", "told"),
    [
        ("5%", "'5%': alpha is a share between 0 and 1; for 5 % write 0.05"),
        ("5 %", "for 5 % write 0.05"),
        ("5", "for 5 % write 0.05"),
        ("2.5%", "for 2.5 % write 0.025"),
        ("0,05", "'0,05': alpha is a share between 0 and 1, such as 0.05"),
        ("-1", "such as 0.05"),
        ("500", "such as 0.05"),
        ("nan", "such as 0.05"),
        ("five", "such as 0.05"),
    ],
)
@pytest.mark.parametrize("command", ["scan x", "fit x -o y", "score x y", "explain x y", "demo"])
def test_alpha_is_a_share(command, given, told):
    done = run(*command.split(), "--alpha", given)
    assert done.exit_code == 2
    assert told in " ".join(done.stderr.split())


def test_what_is_no_model_is_told(collection, tmp_path):
    folder, model = tmp_path / "a folder", tmp_path / "a.loopsphere"
    folder.mkdir()
    model.write_bytes(b"")
    expected = "where a model made by `loopsphere fit` is expected"
    for command in (("info", folder), ("score", folder, folder)):
        done = run(*command)
        assert (done.exit_code, done.stderr) == (2, f"loopsphere: {folder}: is a folder, {expected}\n")
    loop = sorted(collection.rglob("*.wav"))[0]
    done = run("info", loop)
    assert done.exit_code == 2
    assert f"{loop}: not a loopsphere model, as `loopsphere fit` makes" in done.stderr


@pytest.mark.parametrize("first", ["a folder", "kick.wav"])
def test_score_with_its_arguments_swapped_is_told(tmp_path, first):
    (tmp_path / "a folder").mkdir()
    done = run("score", tmp_path / first, tmp_path / "bass.loopsphere", "--alpha", "0.1")
    assert done.exit_code == 2
    right = shlex.join(["loopsphere", "score", str(tmp_path / "bass.loopsphere"), str(tmp_path / first)])
    assert done.stderr == f"loopsphere: the model comes first, then the loops: {right}\n"


def test_a_folder_without_loops_says_what_can_be_read(tmp_path):
    (tmp_path / "notes.txt").write_text("no loop")
    done = run("scan", tmp_path)
    assert done.exit_code == 1
    assert f"no audio files found in {tmp_path}; what is read ends in " in done.stderr
    for extension in (".wav", ".flac", ".mp3", ".m4a"):
        assert extension in done.stderr
    assert "ends in" not in run("scan", tmp_path / "none").stderr  # that is another mistake


def test_help_imports_nothing_heavy():
    code = (
        "import sys, runpy; sys.argv = ['loopsphere', '--help']\n"
        "try: runpy.run_module('loopsphere', run_name='__main__')\n"
        "except SystemExit: pass\n"
        "print([name for name in ('torch', 'numpy', 'sklearn', 'scipy', 'pandas') if name in sys.modules])"
    )
    out = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout
    assert out.splitlines()[-1] == "[]"


def test_the_defaults_are_those_of_the_library():
    assert (options.ENCODER, options.DETECTOR, options.SCAN_DETECTOR, options.ALPHA) == (
        DEFAULT_ENCODER, DEFAULT_DETECTOR, SCAN_DETECTOR, DEFAULT_ALPHA,
    )  # fmt: skip


def test_scan_prints_and_writes(collection, tmp_path):
    result = run("scan", collection, "--detector", "knn", "--out", tmp_path / "out", "--top", "3")
    assert result.exit_code == 0, result.output
    assert "1 of 36 loops is odd (*) at a false-alarm rate of 5 %" in result.stdout
    with (tmp_path / "out" / "results.csv").open(encoding="utf-8") as file:
        rows = list(csv.DictReader(file))
    record = json.loads((tmp_path / "out" / "results.json").read_text(encoding="utf-8"))
    assert [row["path"] for row in rows] == [loop["path"] for loop in record["loops"]]
    assert list(record) == [
        "encoder", "detector", "alpha", "threshold", "loops", "skipped", "notes", "explanations", "normal",
    ]  # fmt: skip
    assert set(record["loops"][0]) == {"path", "duration_s", "anomaly_score", "p_value", "is_odd"}


def test_json_on_standard_output_is_all_there_is(collection):
    result = run("scan", collection, "--detector", "knn", "--json", "-")
    assert len(json.loads(result.stdout)["loops"]) == 36
    assert re.search(r"of 36 loops (is|are) odd", result.stderr)


def test_fit_info_score(collection, tmp_path):
    model = tmp_path / "new folder" / "all.loopsphere"
    fitted = run("fit", collection, "-o", model, "--detector", "knn", "--alpha", "0.1")
    assert fitted.exit_code == 0, fitted.output
    assert "learnt 36 loops (knn on bundled)" in fitted.stdout
    info = run("info", model, "--json", "-")
    assert json.loads(info.stdout)["n_loops"] == 36
    told = dict(line.split(maxsplit=1) for line in run("info", model).stdout.splitlines())
    assert (told["detector"], told["alpha"], told["notes"]) == ("knn", "0.1", "none")
    scored = run("score", model, collection / "bass", "--json", tmp_path / "scores.json")
    assert scored.exit_code == 0, scored.output
    record = json.loads((tmp_path / "scores.json").read_text(encoding="utf-8"))
    assert record["alpha"] == 0.1
    assert len(record["loops"]) == 12


@pytest.mark.parametrize("name", ["loops.npz", "loops.parquet"])
def test_embed_writes_arrays(collection, tmp_path, name):
    result = run("embed", collection / "drums", "-o", tmp_path / name)
    assert result.exit_code == 0, result.output
    if name.endswith("npz"):
        arrays = np.load(tmp_path / name, allow_pickle=False)
        paths, embedding = arrays["path"], arrays["embedding"]
    else:
        table = pytest.importorskip("pyarrow.parquet").read_table(tmp_path / name)
        paths, embedding = table["path"].to_pylist(), np.stack(table["embedding"].to_pylist())
    assert embedding.shape == (12, 512)
    assert all(Path(path).exists() for path in paths)


def test_embed_refuses_other_formats_before_working(tmp_path):
    result = run("embed", tmp_path, "-o", tmp_path / "loops.pickle")
    assert result.exit_code == 2
    assert "written as .npz or .parquet" in result.stderr


def test_paths_from_standard_input(collection):
    paths = sorted(collection.rglob("*.wav"))[:8]
    result = run("scan", "-", "--detector", "knn", "--json", "-", stdin="\n".join(map(str, paths)) + "\n")
    assert {loop["path"] for loop in json.loads(result.stdout)["loops"]} == set(map(str, paths))


def test_too_small_for_alpha_says_so(collection):
    result = run("scan", *sorted(collection.rglob("*.wav"))[:10], "--detector", "knn")
    assert result.exit_code == 0
    assert "smallest false-alarm rate that can be promised is 10.0 %" in result.stdout


def test_strict_turns_a_skipped_file_into_status_1(collection, tmp_path):
    broken = tmp_path / "broken.wav"
    broken.write_bytes(b"RIFF")
    assert run("scan", collection, broken, "--detector", "knn").exit_code == 0
    result = run("scan", collection, broken, "--detector", "knn", "--strict")
    assert result.exit_code == 1
    assert "1 skipped" in result.stdout


@pytest.mark.parametrize(
    ("arguments", "status", "message"),
    [
        (["scan"], 2, "Missing argument"),
        (["scan", "--colour", "red"], 2, "No such option"),
        (["scan", "loops", "--alpha", "2"], 2, "Invalid value for '--alpha'"),
        (["scan", "EMPTY"], 1, "no audio files found"),
        (["scan", "EMPTY/none.wav"], 1, "none.wav"),
        (["scan", "EMPTY", "--detector", "magic"], 2, "no detector 'magic'"),
        (["info", "EMPTY/none.loopsphere"], 2, "there is no such file"),
    ],
)
def test_wrong_use_has_a_reason_and_a_status(tmp_path, arguments, status, message):
    result = run(*(argument.replace("EMPTY", str(tmp_path)) for argument in arguments))
    assert result.exit_code == status
    assert message in result.stderr
    assert "Traceback" not in result.output


@pytest.mark.skipif(sys.platform == "win32", reason="sends SIGINT")
@pytest.mark.usefixtures("heard_interrupts")
@pytest.mark.parametrize("verb", ["scan", "duplicates"])
def test_a_folder_without_loops_stays_as_it_is(tmp_path, verb):
    (tmp_path / "notes.txt").write_text("no loop")
    assert run(verb, tmp_path).exit_code == 1
    assert [path.name for path in tmp_path.iterdir()] == ["notes.txt"]


def test_ctrl_c_leaves_no_half_written_file(collection, tmp_path):
    out = tmp_path / "out"
    command = [sys.executable, "-m", "loopsphere", "demo", "--out", str(out), "--n-loops", "300"]
    process = subprocess.Popen(command, stderr=subprocess.PIPE, text=True)
    deadline = time.monotonic() + 120
    while not list(out.rglob("*.wav")) and time.monotonic() < deadline:
        time.sleep(0.05)
    process.send_signal(signal.SIGINT)
    _, errors = process.communicate(timeout=120)
    assert process.returncode == 130
    assert "interrupted" in errors
    assert "Traceback" not in errors
    assert [path for path in out.rglob("*") if path.name.endswith(".part")] == []


@pytest.mark.usefixtures("heard_interrupts")
def test_ctrl_c_that_got_lost_ends_the_work_at_the_next_report_of_progress():
    """Python drops an interrupt that falls into a destructor or a callback from C."""

    @console.reports_errors
    def work():
        with console.progress_bar() as progress:
            with contextlib.suppress(KeyboardInterrupt):
                signal.raise_signal(signal.SIGINT)
            progress("working", 1, 2)
        pytest.fail("went on")

    with pytest.raises(typer.Exit) as ended:
        work()
    assert ended.value.exit_code == console.EXIT_INTERRUPTED
    assert signal.getsignal(signal.SIGINT) is signal.default_int_handler


def test_a_closed_pipe_is_no_error(collection):
    command = f'"{sys.executable}" -m loopsphere encoders | head -n 1'
    if os.name == "nt":
        pytest.skip("needs head")
    done = subprocess.run(command, shell=True, capture_output=True, text=True, check=True)
    assert "Traceback" not in done.stderr
