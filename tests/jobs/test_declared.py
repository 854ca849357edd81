from __future__ import annotations

import re
import tomllib
from pathlib import Path
from textwrap import dedent
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from scraper.errors import UsageError
from scraper.jobs.declared import Declared, declared_from, job_from, read, server_from
from scraper.jobs.difference import difference, text
from scraper.jobs.job import Alerts, CatchUp, Channel, Job, Mail, Output, Overlap, Server
from scraper.jobs.places import Wrong, lined
from scraper.jobs.toml import job_text

WHOLE = """
[server]
parallel = 2
keep_days = 90
free_space = "10 %"
address = "https://jobs.example.com"

[groups]
books = 2

[channels.ops]
webhook = "https://hooks.example.com/abc"
secret = "env:HOOK"
[channels.mail]
email = "ann@example.com"
[channels.log]
command = ["logger", "-t", "scraper"]

[mail]
host = "smtp.example.com"
sender = "scraper@example.com"

[jobs.shop]
spider = "shop"
schedule = "30 8 * * mon-fri"
timezone = "Europe/Berlin"
args = { shelf = "art", since = 2026-01-31, pages = [1, 2.5, true] }
output = ["out/shop-{date}.jsonl.gz", { path = "out/changes.jsonl", only = "changes", append = true }]
key = "sku"
overlap = "queue_one"
catch_up = "all"
catch_up_within = "2 days"
blackout = ["22:00-06:00", "sat, sun 00:00-24:00"]
start = 2026-01-01
timeout = "1h30m"
memory = "500 MB"
retries = 2
retry_delay = 30
group = "books"

[jobs.shop.settings]
delay = 1.5
hosts = { "cdn.example" = { delay = 0 } }

[jobs.shop.alerts]
items_below = 0.5
no_run_in = "3 days"
to = ["ops", "mail"]
quiet = "22:00-07:00"

[jobs.after-shop]
spider = "reviews"
after = "shop"
"""


def wrong(tmp_path: Path, toml: str) -> str:
    path = tmp_path / "jobs.toml"
    path.write_text(dedent(toml), encoding="utf-8")
    with pytest.raises(UsageError) as caught:
        read(path)
    return str(caught.value).removeprefix(f"{tmp_path}/")


def test_a_whole_file_is_read(tmp_path: Path) -> None:
    (tmp_path / "jobs.toml").write_text(WHOLE, encoding="utf-8-sig")
    declared = read(tmp_path / "jobs.toml")
    assert declared.server == Server(
        parallel=2,
        keep_days=90,
        free_space=("10 %",),
        address="https://jobs.example.com",
        groups={"books": 2},
        channels={
            "ops": Channel(webhook="https://hooks.example.com/abc", secret="env:HOOK"),
            "mail": Channel(email=("ann@example.com",)),
            "log": Channel(command=("logger", "-t", "scraper")),
        },
        mail=Mail(host="smtp.example.com", sender="scraper@example.com"),
    )
    assert declared.jobs["after-shop"] == Job(name="after-shop", spider="reviews", after=("shop",))
    assert declared.jobs["shop"] == Job(
        name="shop",
        spider="shop",
        schedule="30 8 * * mon-fri",
        timezone="Europe/Berlin",
        args={"shelf": "art", "since": "2026-01-31", "pages": [1, 2.5, True]},
        settings={"delay": 1.5, "hosts": {"cdn.example": {"delay": 0}}},
        output=(Output("out/shop-{date}.jsonl.gz"), Output("out/changes.jsonl", only="changes", append=True)),
        key=("sku",),
        overlap=Overlap.QUEUE_ONE,
        catch_up=CatchUp.ALL,
        catch_up_within=2 * 86400.0,
        alerts=Alerts(items_below=0.5, no_run_in=3 * 86400.0, to=("ops", "mail"), quiet=("22:00-07:00",)),
        start="2026-01-01",
        blackout=("22:00-06:00", "sat, sun 00:00-24:00"),
        timeout=5400.0,
        memory=500_000_000,
        retries=2,
        retry_delay=30.0,
        group="books",
    )


JOB = '[jobs.shop]\nspider = "shop"\n'
PARALLEL = JOB + 'overlap = "allow"\nparallel = 2\n'


@pytest.mark.parametrize(
    ("toml", "said"),
    [
        ('[jobs.shop]\nspider = "shop', "jobs.toml: Unterminated string"),
        ("[jobs.shop]\n[jobs.shop]\n", "jobs.toml:2: Cannot declare"),
        ("[server", "jobs.toml: Expected ']'"),
        ('[job.shop]\nspider = "shop"', "jobs.toml:1: [job]: unknown table; did you mean 'jobs'?"),
        ("jobs = 5", "jobs.toml:1: [jobs]: must be a table, not 5"),
        ("[jobs]\nshop = 5", "jobs.toml:2: [jobs.shop]: must be a table, not 5"),
        (JOB + "overlp = 1", "jobs.toml:3: [jobs.shop] overlp: unknown key; did you mean 'overlap'?"),
        (JOB + 'to = "ops"', "jobs.toml:3: [jobs.shop] to: unknown key; it belongs in [jobs.shop.alerts]"),
        (JOB + "max_pages = 5", "[jobs.shop] max_pages: unknown key; it belongs in [jobs.shop.settings]"),
        (JOB + "name = 'x'", "jobs.toml:3: [jobs.shop] name: unknown key"),
        (JOB + "alerts.faild = true", "jobs.toml:3: [jobs.shop] alerts.faild: unknown key; did you mean 'failed'?"),
        (
            JOB + "[jobs.shop.alerts]\nerror_rate = 5",
            ":4: [jobs.shop] alerts.error_rate: must be from 0 to 1, not 5",
        ),
        ("[jobs.shop]\nschedule = '@daily'", "jobs.toml:1: [jobs.shop] spider: is missing"),
        ('[jobs."my shop"]\nspider = "x"', 'jobs.toml:1: [jobs."my shop"]: the name of a job must be'),
        ('[jobs.-shop]\nspider = "x"', "not begin with '-'"),
        ('[jobs.shop]\nspider = "../shop.py"', "spider: must be the name of a spider, not '../shop.py'"),
        ('[jobs.shop]\nspider = "shop.py"', "spider: must be the name of a spider"),
        (JOB + "retries = 'many'", "jobs.toml:3: [jobs.shop] retries: must be a whole number, not 'many'"),
        (JOB + "retries = -1", "[jobs.shop] retries: must be from 0 to 1,000, not -1"),
        (JOB + "priority = -2_000_000", "priority: must be from -1,000,000 to 1,000,000, not -2,000,000"),
        (
            JOB + "overlap = 'skp'",
            "overlap: must be one of skip, queue_one, queue_all, cancel, kill, allow, not 'skp'",
        ),
        (JOB + "schedule = '61 * * * *'", "jobs.toml:3: [jobs.shop] schedule: '61 * * * *'"),
        (JOB + "schedule = 'evry day'", "did you mean 'every day'?"),
        (JOB + "timezone = 'Europe/Berln'", "[jobs.shop] timezone: must be"),
        (JOB + "start = 'soon'", "jobs.toml:3: [jobs.shop] start: must be"),
        (
            JOB + "start = 2026-02-01\nend = 2026-01-01",
            "jobs.toml:4: [jobs.shop] end: '2026-01-01' is before start",
        ),
        (JOB + "blackout = ['22:00']", "jobs.toml:3: [jobs.shop] blackout[0]: '22:00' must be times such as"),
        (JOB + "alerts.quiet = 'nigth'", "jobs.toml:3: [jobs.shop] alerts.quiet[0]: 'nigth' must be"),
        (JOB + "timeout = '5 parsecs'", "jobs.toml:3: [jobs.shop] timeout: must be a duration such as"),
        (JOB + "timeout = 0", "timeout: must be more than nothing"),
        (JOB + "memory = '5 M'", "memory: must say MB (1000) or MiB (1024), not '5 M'"),
        (JOB + "memory = 500", "memory: must be at least 16 MiB"),
        (JOB + "key = ['sku', 5]", "jobs.toml:3: [jobs.shop] key[1]: must be text, not 5"),
        (JOB + "key = ['sku', '']", "[jobs.shop] key[1]: must not be empty"),
        (JOB + "key = ['sku', 'sku']", "[jobs.shop] key: has 'sku' twice"),
        (JOB + "args.shelf = nan", "jobs.toml:3: [jobs.shop] args.shelf: must be a number, not nan"),
        (JOB + f"args.much = {2**64}", "[jobs.shop] args.much: must have at most 63 bits"),
        (JOB + "settings.dely = 1", ":3: [jobs.shop] settings.dely: unknown setting 'dely'; did you mean 'delay'?"),
        (
            JOB + "settings.delay = 'x'",
            "[jobs.shop] settings.delay: setting 'delay' must be a number of at least 0",
        ),
        (
            JOB + "output = 'x.jsn'",
            "jobs.toml:3: [jobs.shop] output: x.jsn: the ending .jsn names no format (did you",
        ),
        ("[server]\nfree_space = 'some'", "jobs.toml:2: [server] free_space: must be a size such as '500 MB'"),
        ("[server]\nfree_space = ['1 GiB', '0 %']", "jobs.toml:2: [server] free_space[1]: must be more than 0 %"),
        (JOB + "output = 'x-{rn}.csv'", "there is no {rn} (did you mean run?)"),
        (JOB + "output = '-'", "a job has no standard output"),
        (JOB + "output = {path = 'x.csv', olny = 1}", "output.olny: unknown key; did you mean 'only'?"),
        (JOB + "output = {path = 'x.csv', only = 'changes'}", 'output: only = "changes" needs `key`'),
        (JOB + "output = ['x.csv', './x.csv']", "output[1]: ./x.csv is written twice: give another path"),
        (
            JOB + "output = 'a/../x.csv'\n[jobs.b]\nspider = 's'\noutput = 'x.csv'",
            ":6: [jobs.b] output: x.csv is written",
        ),
        (JOB + 'output = "a\\u0000.csv"', "jobs.toml:3: [jobs.shop] output.path: must not have a NUL character"),
        (JOB + 'key = ["id", "a\\u0000"]', "jobs.toml:3: [jobs.shop] key[1]: must not have a NUL character"),
        ('[channels.a]\ncommand = ["x", "\\u0000"]', "[channels.a] command[1]: must not have a NUL character"),
        (JOB + "parallel = 2", 'parallel: is for overlap = "allow", not for "skip"'),
        (PARALLEL + "output = 'x.csv'", "two runs at once would write x.csv: put {run} into the path"),
        (JOB + "after = 'shp'", "jobs.toml:3: [jobs.shop] after: there is no job 'shp'; did you mean 'shop'?"),
        (JOB + "after = 'shop'", "after: jobs would run in a circle: shop after shop"),
        (
            JOB + "after = 'a'\n[jobs.a]\nspider = 'a'\nafter = 'b'\n[jobs.b]\nspider = 'b'\nafter = 'a'",
            "jobs would run in a circle: a after b after a",
        ),
        (
            JOB + "alerts.to = 'opps'\n[channels.ops]\ncommand=['x']",
            "there is no channel 'opps'; did you mean 'ops'?",
        ),
        (JOB + "alerts.to = 'ops'", ":3: [jobs.shop] alerts.to: there is no channel 'ops'; there are none"),
        (
            "[channels.a]\nsecret = 'x'",
            "jobs.toml:1: [channels.a]: must have exactly one of webhook, email and command",
        ),
        ("[channels.a]\nwebhook = 'https://x'\ncommand = ['x']", "not webhook and command"),
        ("[channels.a]\nwebhook = 'hooks'", "jobs.toml:2: [channels.a] webhook: must be an address such as"),
        ("[channels.a]\ncommand = ['x']\nsecret = 's'", "jobs.toml:3: [channels.a] secret: is for a webhook"),
        ("[channels.a]\nemail = 'x@y.z'", "jobs.toml:2: [channels.a] email: needs the table [mail]"),
        ("[mail]\nsender = 'x'", "jobs.toml:1: [mail] host: is missing"),
        ("[mail]\nhost = 'x'\nsender = 'y'\nport = 99999", "[mail] port: must be from 1 to 65,535, not 99,999"),
        ("[groups]\nbooks = 'two'", "jobs.toml:2: [groups] books: must be a whole number, not 'two'"),
        ("[server]\nparallel = 0", "jobs.toml:2: [server] parallel: must be from 1 to 10,000, not 0"),
        ("[server]\nparalel = 1", "[server] paralel: unknown key; did you mean 'parallel'?"),
    ],
)
def test_what_is_wrong_is_told_with_its_place(tmp_path: Path, toml: str, said: str) -> None:
    assert said in wrong(tmp_path, toml)


def test_all_that_is_wrong_in_a_file_is_told_by_line(tmp_path: Path) -> None:
    toml = """
        [server]
        paralel = 2
        keep_days = "long"
        [groups]
        books = 0
        [channels.ops]
        webhook = "hooks"
        [channels.two]
        command = ["x"]
        secret = "s"
        [job.x]
        [jobs."my shop"]
        spider = "shop"
        [jobs.shop]
        schedule = "evry day"
        timezone = "Europe/Berln"
        start = "soon"
        retries = "many"
        key = ["", "a", "a"]
        blackout = ["22:00", "12:00-13:00", "x"]
        output = ["a.json", { path = "b.csv", olny = 1 }]
        alerts = { to = ["oops"], error_rate = 5, faild = 1 }
        settings = { dely = 1, delay = "x" }
        [jobs.other]
        spider = "other"
        after = ["shp", "shop"]
        alerts.to = ["tow", "ops"]
        output = ["a.jsn", "b.csv", "./b.csv"]
        """
    told = wrong(tmp_path, toml).replace(f"{tmp_path}/", "").splitlines()
    assert [re.split(":? must|: cron has|; there are", line.removeprefix("jobs.toml:"))[0] for line in told] == [
        "3: [server] paralel: unknown key; did you mean 'parallel'?",
        "4: [server] keep_days",
        "6: [groups] books",
        "8: [channels.ops] webhook",
        "11: [channels.two] secret: is for a webhook, and this channel has command",
        "12: [job]: unknown table; did you mean 'jobs'?",
        '13: [jobs."my shop"]: the name of a job',
        "15: [jobs.shop] spider: is missing",
        "16: [jobs.shop] schedule: 'evry day'",
        "17: [jobs.shop] timezone",
        "18: [jobs.shop] start",
        "19: [jobs.shop] retries",
        "20: [jobs.shop] key[0]",
        "20: [jobs.shop] key: has 'a' twice",
        "21: [jobs.shop] blackout[0]: '22:00'",
        "21: [jobs.shop] blackout[2]: 'x'",
        "22: [jobs.shop] output[1].olny: unknown key; did you mean 'only'?",
        "23: [jobs.shop] alerts.error_rate",
        "23: [jobs.shop] alerts.faild: unknown key; did you mean 'failed'?",
        "24: [jobs.shop] settings.dely: unknown setting 'dely'; did you mean 'delay'?",
        "24: [jobs.shop] settings.delay: setting 'delay'",
        "27: [jobs.other] after: there is no job 'shp'; did you mean 'shop'?",
        "28: [jobs.other] alerts.to: there is no channel 'tow'; did you mean 'two'?",
        "29: [jobs.other] output[0]: a.jsn: the ending .jsn names no format (did you mean .json?)",
        "29: [jobs.other] output[2]: ./b.csv is written twice: give another path",
    ]


def test_the_line_is_right_after_texts_of_several_lines_and_quoted_names(tmp_path: Path) -> None:
    toml = '''\
    [jobs.shop]
    note = """
    [jobs.other]
    retries = 5
    """
    spider = "shop"
    [jobs."shop" . 'settings']  # a comment
    "delay" = "x"
    '''
    assert wrong(tmp_path, toml).startswith("jobs.toml:8: [jobs.shop] settings.delay:")


def test_a_file_that_cannot_be_read_is_named(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match=r"none\.toml cannot be read: No such file"):
        read(tmp_path / "none.toml")
    (tmp_path / "bad.toml").write_bytes(b"\xff\xfe")
    with pytest.raises(UsageError, match=r"bad\.toml cannot be read"):
        read(tmp_path / "bad.toml")
    assert "cannot be read" in wrong(tmp_path, "a = " + "[" * 100_000)


def test_an_empty_file_declares_nothing(tmp_path: Path) -> None:
    (tmp_path / "jobs.toml").touch()
    assert read(tmp_path / "jobs.toml") == Declared()


def test_a_form_gives_texts_and_json_gives_nulls() -> None:
    form = {"spider": "shop", "retries": "2", "key": "sku, name", "timeout": "", "memory": "none", "resume": "no"}
    made = job_from("shop", form, "the form")
    assert made == Job(name="shop", spider="shop", retries=2, key=("sku", "name"), resume=False)
    assert job_from("shop", {"spider": "shop", "timeout": None, "args": '{"a": [1]}'}, "JSON").args == {"a": [1]}
    with pytest.raises(UsageError, match=r"^the form: \[jobs.shop\] retries: must be a whole number, not 'x'"):
        job_from("shop", {"spider": "shop", "retries": "x"}, "the form")
    with pytest.raises(UsageError, match=r"^JSON: \[jobs.shop\] args.a: must be text, a number"):
        job_from("shop", {"spider": "shop", "args": {"a": None}}, "JSON")
    with pytest.raises(UsageError, match=r"the form: \[server\] parallel"):
        server_from({"server": {"parallel": "x"}}, "the form")


def test_what_is_nested_without_end_is_refused() -> None:
    deep: Any = 1
    for _ in range(900):
        deep = {"a": [deep]}
    with pytest.raises(UsageError, match="more than 16 tables in one another"):
        job_from("shop", {"spider": "shop", "args": {"deep": deep}}, "JSON")


def test_a_difference_is_told_key_by_key() -> None:
    old = declared_from(tomllib.loads(WHOLE))
    new = declared_from(tomllib.loads(WHOLE.replace("parallel = 2", "parallel = 3").replace('"art"', '"poetry"')))
    del new.jobs["after-shop"]
    new.jobs["new"] = Job(name="new", spider="new", schedule="@daily", args={"password": "pw"})
    assert text(difference(old, new)).splitlines() == [
        "~ server",
        "    parallel: 2 -> 3",
        "- after-shop",
        "+ new",
        '    spider: "new"',
        '    schedule: "@daily"',
        "    args.password: ***",
        "~ shop",
        '    args.shelf: "art" -> "poetry"',
    ]
    assert text(difference(old, old)) == "nothing has changed"


def test_a_difference_has_only_what_somebody_wrote_in_the_words_of_the_file() -> None:
    before = """
        [channels.ops]
        webhook = "https://hooks.example/one"
        """
    after = """
        [jobs.shop]
        spider = "shop"
        output = ["a.csv", { path = "b.jsonl", append = true }]
        args = { timeout = 60 }
        timeout = "30 minutes"
        [jobs.shop.alerts]
        no_run_in = "2 days"
        [channels.ops]
        webhook = "https://hooks.example/two"
        [channels.pager]
        command = ["page", "now"]
        [channels.people]
        email = "ann@example.com"
        [mail]
        host = "mail.example"
        sender = "jobs@example.com"
        """
    one, two = (declared_from(tomllib.loads(dedent(toml))) for toml in (before, after))
    assert text(difference(one, two)).splitlines() == [
        "~ server",
        "    channels.ops.webhook: *** -> (changed)",
        "    channels.pager.command: (none) -> ***",
        '    channels.people.email: (none) -> ["ann@example.com"]',
        '    mail.host: (none) -> "mail.example"',
        '    mail.sender: (none) -> "jobs@example.com"',
        "+ shop",
        '    spider: "shop"',
        "    args.timeout: 60",
        '    output: ["a.csv", { path = "b.jsonl", append = true }]',
        '    alerts.no_run_in: "2 days"',
        '    timeout: "30 minutes"',
    ]
    back = text(difference(two, one))
    assert "    channels.pager.command: *** -> (none)" in back
    assert "allow_private" not in back
    assert "port" not in back


def test_an_argument_that_is_called_like_a_duration_stays_a_number() -> None:
    job = Job(name="shop", spider="shop", args={"timeout": 60})
    assert declared_from(tomllib.loads(job_text(job))).jobs == {"shop": job}


def test_a_job_as_toml_reads_as_the_same_job() -> None:
    for job in declared_from(tomllib.loads(WHOLE)).jobs.values():
        assert declared_from(tomllib.loads(job_text(job))).jobs == {job.name: job}
    assert job_text(Job(name="shop", spider="shop", timeout=5400.0, output=(Output("x.csv"),))) == (
        '[jobs.shop]\nspider = "shop"\noutput = "x.csv"\ntimeout = "1 hour 30 minutes"\n'
    )


plain = st.recursive(
    st.booleans() | st.integers(-(2**63), 2**63 - 1) | st.floats(allow_nan=False, allow_infinity=False) | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
    max_leaves=8,
)


fields = st.text(st.characters(exclude_characters="\0", codec="utf-8"), min_size=1)


@settings(max_examples=60, deadline=None)
@given(st.dictionaries(st.text(), plain, max_size=4), st.text(), st.floats(0, 1e6), st.lists(fields))
def test_any_plain_data_survives_the_way_over_toml(
    args: dict[str, Any], note: str, jitter: float, key: list[str]
) -> None:
    key = [word for word in dict.fromkeys(key) if word.strip()]
    job = Job(name="shop", spider="shop", args=args, note=note, jitter=jitter, key=tuple(key))
    assert declared_from(tomllib.loads(job_text(job))).jobs == {"shop": job}


@pytest.mark.parametrize(
    "text",
    [
        '[mail]\nhost = "h"\nsender = "a@b"\npassword = 5551234', '[channels]\nops = "https://hook/5551234"',
        '[channels.ops]\nwebhook = "x5551234://x"', "[channels.ops]\nsecret = 5551234",
        '[channels.ops]\nheaders = "5551234"',
        '[jobs.shop]\nspider = "shop"\nsettings = { auth = 5551234 }',
        '[jobs.shop]\nspider = "shop"\nsettings = { proxy = "http://ann:5551234@" }',
    ],
)  # fmt: skip
def test_what_is_wrong_is_told_without_a_value_that_may_be_secret(tmp_path: Path, text: str) -> None:
    path = tmp_path / "jobs.toml"
    path.write_text(text)
    with pytest.raises(UsageError, match=r"must be|unknown") as error:
        read(path)
    assert "5551234" not in str(error.value)


def test_of_very_many_mistakes_the_first_are_told(tmp_path: Path) -> None:
    told = wrong(tmp_path, "".join(f"[jobs.j{n}]\nspider = 'x'\nkeep = -1\n" for n in range(120))).splitlines()
    assert told[0].startswith("jobs.toml:3: [jobs.j0] keep: must be from 0")
    assert (len(told), told[-1]) == (101, "and 20 more")


def test_the_lines_of_thousands_of_keys_are_found_in_one_pass() -> None:
    """Looked for one by one they would take a minute."""
    places = [("jobs", f"j{n}", "keep") for n in range(4000)]
    text = "".join(f"[jobs.{name}]\nspider = 'x'\n{key} = -1\n" for _, name, key in places)
    found = lined(Path("jobs.toml"), text, [Wrong(place, "is wrong") for place in reversed(places)])
    assert [each.where for each in found[:2]] == [f"jobs.toml:{n}: [jobs.j{n // 3 - 1}] keep" for n in (3, 6)]
    assert len(found) == 4000
