"""Log files are read whole, in order, and on over their rotation: a lost line is the one that was needed."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import time
from contextlib import closing
from pathlib import Path

from gridlink.node.log_files import LogDirectory, Record, last_records, parse, records
from tests.conftest import clean_environment, command

AT = "2020-11-21T07:00:{:02d}.000Z"


def line(second: int, text: str, module: str = "storage@board7") -> str:
    """A line as gridlink.node.logs writes it."""
    return f"{AT.format(second)} INFO    {module}: {text}\n"


def test_both_forms_of_a_record_are_read() -> None:
    """`--json-logs` is the operator's choice, not the reader's."""
    wanted = Record(AT.format(1), "INFO", "storage@board7", "text: with a colon")
    document = {"time": AT.format(1), "level": "INFO", "module": "storage@board7", "logger": "x", "text": wanted.text}
    assert parse(line(1, wanted.text).rstrip()) == wanted
    assert parse(json.dumps(document)) == wanted
    assert parse("Traceback (most recent call last):") is None
    assert parse("{no json") is None


def test_a_traceback_stays_with_its_record() -> None:
    """Filtering by module would tear it apart."""
    found = list(records(["half a line", *line(1, "raised\nTraceback:\n  File").splitlines(), line(2, "x").rstrip()]))
    assert [one.text for one in found] == ["raised\nTraceback:\n  File", "x"]


def test_the_last_ones_are_read_over_all_files_by_time_within_bounds(tmp_path: Path) -> None:
    """Somebody far away asks for them over a thin link."""
    (tmp_path / "one.log.1").write_text(line(1, "a") + line(2, "b"))
    (tmp_path / "one.log").write_text(line(4, "d", "lamp@board7"))
    (tmp_path / "two.log").write_text(line(3, "c\nmore") + line(5, "e"))
    texts = [one.text for one in last_records(tmp_path, "", 3)]
    assert texts == ["c\nmore", "d", "e"]
    assert [one.text for one in last_records(tmp_path, "storage", 9, AT.format(2))] == ["b", "c\nmore", "e"]
    assert [one.text for one in last_records(tmp_path, "", 9, most_characters=2)] == ["d", "e"]
    assert last_records(tmp_path / "none", "", 9) == []


def at(off_s: float, text: str) -> str:
    """A line that is logged by a clock that is so far off."""
    stamp = time.strftime("%Y-%m-%dT%H:%M:%S.000Z", time.gmtime(time.time() + off_s))
    return f"{stamp} INFO    storage@board7: {text}\n"


def test_what_was_logged_before_a_clock_was_set_back_is_older_than_what_is_logged_since(tmp_path: Path) -> None:
    """Else the last hundred records of a board would be those of a wrong date, for years; who follows hears on."""
    ten_years_s = 3650 * 86400.0
    (tmp_path / "a.log").write_text(at(-20, "1") + at(ten_years_s, "2") + at(ten_years_s + 5, "3") + at(-4, "6"))
    (tmp_path / "b.log").write_text(at(-10, "4") + at(-8, "5") + at(-2, "7"))
    wanted = ["1", "2", "3", "4", "5", "6", "7"]
    assert [one.text for one in last_records(tmp_path, "", 9)] == wanted
    assert [one.text for one in last_records(tmp_path, "", 2)] == ["6", "7"]
    with closing(LogDirectory(tmp_path)) as logs:
        assert [one.text for one in logs.read()] == wanted
    heard_up_to = at(ten_years_s + 5, "").split()[0]
    assert [one.text for one in last_records(tmp_path, "", 9, heard_up_to)][-4:] == ["4", "5", "6", "7"]


def test_a_record_belongs_to_its_module_under_each_of_its_names() -> None:
    """People type the module's name, programs the instance's."""
    record = Record(AT.format(1), "INFO", "storage@board7", "x")
    assert [record.of(name) for name in ("storage", "storage@board7", "storage@other", "board7")] == [
        True, True, False, False,
    ]  # fmt: skip


def test_files_are_merged_by_time_with_what_was_turned_over(tmp_path: Path) -> None:
    """One site, several processes, one story."""
    (tmp_path / "a.log.1").write_text(line(1, "one"))
    (tmp_path / "a.log").write_text(line(4, "four"))
    (tmp_path / "b.log").write_text(line(2, "two") + line(3, "three"))
    with closing(LogDirectory(tmp_path)) as logs:
        assert [one.text for one in logs.read()] == ["one", "two", "three", "four"]
        assert logs.more() == []


def test_following_loses_nothing_when_a_file_is_turned_over_emptied_or_new(tmp_path: Path) -> None:
    """The three things that happen to a log file."""
    file = tmp_path / "a.log"
    file.write_text(line(1, "one"))
    with closing(LogDirectory(tmp_path)) as logs:
        logs.read()
        with file.open("a") as old:
            old.write(line(2, "the last of the old file"))
            file.replace(tmp_path / "a.log.1")
            file.write_text(line(3, "the first of the new"))
        (tmp_path / "b.log").write_text(line(4, "a new file"))
        assert [one.text for one in logs.more()] == ["the last of the old file", "the first of the new", "a new file"]
        file.write_text(line(5, "n"))  # as the guardian begins anew
        assert [one.text for one in logs.more()] == ["n"]


def test_half_a_line_is_shown_when_it_is_whole(tmp_path: Path) -> None:
    """A writer is caught in the middle of a line sooner or later."""
    file = tmp_path / "a.log"
    whole = line(1, "in two parts")
    file.write_text(whole[:30])
    with closing(LogDirectory(tmp_path)) as logs:
        assert logs.read() == []
        with file.open("a") as more:
            more.write(whole[30:])
        assert [one.text for one in logs.more()] == ["in two parts"]


def test_logs_follows_until_ctrl_c(tmp_path: Path) -> None:
    """`gridlink logs -f NAME`: what is logged now, of that module alone; a normal end."""
    logs = tmp_path / ".gridlink" / "logs"
    logs.mkdir(parents=True)
    (logs / "a.log").write_text(line(1, "before"))
    follow = subprocess.Popen(
        command("-C", tmp_path, "logs", "storage", "-f"), stdout=subprocess.PIPE, text=True, env=clean_environment()
    )
    try:
        assert follow.stdout is not None
        assert follow.stdout.readline().endswith("before\n")
        with (logs / "a.log").open("a") as file:
            file.write(line(2, "of another", "oltc@board7") + line(3, "now"))
        assert follow.stdout.readline().endswith("now\n")
    finally:
        os.kill(follow.pid, signal.SIGINT)
        deadline_s = time.monotonic() + 10
        assert follow.wait(timeout=10) == 0
        assert time.monotonic() < deadline_s
        follow.communicate()
