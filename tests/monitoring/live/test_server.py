"""The command itself, asked over HTTP: who is let in, what is shown, and how it ends."""

import http.client
import json
import os
import re
import shutil
import signal
import socket
import sys
from urllib.parse import urlsplit

import pytest

from aam.cli.monitor import KEYS
from aam.facts.stopping import REQUEST, take_request
from aam.monitoring.live.gate import FOREIGN


def test_the_way_of_a_run(page, watched, going_on, epoch_fact):
    run_dir = watched / "runs" / "run_way"
    recorder = going_on(run_dir, num_epochs=3)
    key = page.key("run_way")
    with page.changes(run=key) as changes:
        assert next(changes)[1]["run"] is not None
        first = page.json("api/run", run=key)
        assert (first["run"]["state"], first["run"]["num_epochs"]) == ("running", 3)
        assert first["charts"]["num_epochs"] == 0
        recorder.emit("on_epoch_end", **epoch_fact(0, 2.0))
        next(changes)
        second = page.json("api/run", run=key, generation=first["generation"], since=0)
        assert second["charts"]["columns"]["val_loss"] == [2.0]
        recorder.emit("on_epoch_end", **epoch_fact(1, 1.5))
        next(changes)
        third = page.json("api/run", run=key, generation=first["generation"], since=1)
        assert (third["since"], third["charts"]["columns"]["val_loss"]) == (1, [1.5])
        (run_dir / "figures").mkdir()
        (run_dir / "figures" / "one.svg").write_text("<svg/>")
        next(changes)
        ((figure,), revision) = (
            (told := page.json("api/run", run=key))["figures"], told["revision"]
        )  # fmt: skip
        assert figure["name"] == "one.svg"
        status, headers, content = page.ask("figures/one.svg", run=key)
        assert (status, content) == (200, b"<svg/>")
        assert headers["content-type"] == "image/svg+xml"
        assert "sandbox" in headers["content-security-policy"]
        recorder.emit("on_stop", epoch=2, reason="request of me")
        recorder.close()
        assert next(changes)[1]["run"] > revision
        assert page.json("api/run", run=key)["run"]["state"] == "stopped"


def test_a_stop_is_asked_for_once_and_only_of_what_runs(page, watched, going_on):
    run_dir = watched / "run_stop"
    recorder = going_on(run_dir)
    key = page.key("run_stop")
    assert page.ask("api/stop", run=key)[0] == 405  # a link alone does nothing
    assert not (run_dir / REQUEST).exists()
    assert page.ask("api/stop", "POST", run=key)[0] == 200
    assert page.json("api/run", run=key)["run"]["is_asked_to_stop"]
    who = take_request(run_dir)
    assert who is not None
    assert who.startswith("request of ")
    assert who.endswith(f"@{socket.gethostname()} by the live page")
    recorder.close()
    status, _, content = page.ask("api/stop", "POST", run=key)
    assert (status, json.loads(content)) == (409, {"error": "This run does not go on any more."})
    assert not (run_dir / REQUEST).exists()
    assert page.ask("api/stop", "POST", run="../..")[0] == 404


def test_nothing_without_the_token(page, watched, going_on):
    going_on(watched / "run_secret")
    key = page.key("run_secret")
    url = urlsplit(page.url)
    token = url.path.strip("/")
    paths = (
        "",
        "app.js",
        "plotly.js",
        "api/runs",
        f"api/run?run={key}",
        "api/changes",
        "figures/a",
    )
    for wrong in ("", token[:-1], token + "x", token[::-1], "x", f"x/{token}", "%00", "é"):
        for path in paths:
            status, headers, content = ask(url.port, f"/{wrong}/{path}".replace("é", "%C3%A9"))
            assert (status, b"secret" in content) == (403, False)
            assert headers["x-content-type-options"] == "nosniff"
    for method in ("POST", "PUT", "OPTIONS", "HEAD"):
        assert ask(url.port, f"/api/stop?run={key}", method)[0] == 403
    assert not (watched / "run_secret" / REQUEST).exists()


def test_the_last_sign_of_the_address_may_be_missing(page):
    url = urlsplit(page.url)
    status, headers, _ = ask(url.port, url.path.rstrip("/"))
    assert (status, headers["location"]) == (307, url.path)


def test_a_name_from_elsewhere_is_sent_away(page):
    url = urlsplit(page.url)
    ours = ("127.0.0.1", f"localhost:{url.port}", "[::1]:9", "10.1.2.3", socket.gethostname())
    for host in ours:
        assert ask(url.port, url.path, host=host)[0] == 200
    for host in ("evil.example", "127.0.0.1.evil.example", "localhost.evil.example:80", ""):
        for path in (url.path, url.path.rstrip("/")):
            status, _, content = ask(url.port, path, host=host)
            assert (status, content.decode()) == (403, FOREIGN)


def test_every_answer_is_strict_with_the_browser(page):
    for path in ("", "app.js", "page.css", "plotly.js", "api/runs", "nothing", "figures/a.png"):
        _, headers, _ = page.ask(path)
        policy = headers["content-security-policy"]
        assert "default-src 'none'" in policy
        assert "script-src 'self'" in policy or "script-src" not in policy
        assert "unsafe-eval" not in policy
        assert headers["referrer-policy"] == "no-referrer"
    html = page.ask("")[2].decode()
    assert "http" not in html.replace("http://www.w3.org", "")  # all comes from here
    assert b"plotly.js v" in page.ask("plotly.js")[2][:200]


def test_only_figures_of_runs_that_were_found_are_served(page, watched, going_on):
    run_dir = watched / "run_figures"
    going_on(run_dir)
    figures = run_dir / "figures"
    figures.mkdir()
    (run_dir / "secret.png").write_text("secret")
    (run_dir / "last.pt").write_text("secret")
    (figures / "linked.png").symlink_to(run_dir / "secret.png")
    (figures / ".hidden.png").write_text("secret")
    (figures / "notes.txt").write_text("secret")
    (figures / "folder.png").mkdir()
    os.mkfifo(figures / "pipe.png")
    (figures / "a b#1?.png").write_text("figure")
    key = page.key("run_figures")
    names = ("linked.png", ".hidden.png", "notes.txt", "folder.png", "pipe.png", "absent.png", "")
    around = ("../secret.png", "..%2Fsecret.png", "%2e%2e/last.pt", "%2Fetc%2Fpasswd", "a%00.png")
    for name in (*names, *around, str(run_dir / "secret.png").replace("/", "%2F")):
        status, _, content = page.ask(f"figures/{name}", run=key)
        assert (status, b"secret" in content) == (404, False), name
    assert page.ask("figures/a%20b%231%3F.png", run=key)[2] == b"figure"
    for wrong in ("", "..", "../..", str(run_dir), "run_figures"):
        assert page.ask("figures/a%20b%231%3F.png", run=wrong)[0] == 404
    with page.changes(run=key) as changes:
        while not page.json("api/run", run=key)["figures"]:
            next(changes)
        assert [one["name"] for one in page.json("api/run", run=key)["figures"]] == ["a b#1?.png"]
    figures.rename(run_dir / "elsewhere")
    figures.symlink_to(run_dir / "elsewhere")
    assert page.ask("figures/a%20b%231%3F.png", run=key)[0] == 404


def test_folders_go_and_come(tmp_path, going_on, monitor):
    outputs = tmp_path / "outputs"
    outputs.mkdir()
    with monitor(outputs) as page:
        empty = page.json("api/runs")
        assert (empty["exists"], empty["runs"]) == (True, [])
        with page.changes() as changes:
            next(changes)
            going_on(outputs / "runs" / "run_a").close()
            key = page.key("run_a")
            outputs.rename(tmp_path / "gone")
            while (gone := page.json("api/runs"))["runs"]:
                next(changes)
            assert not gone["exists"]
            status, _, content = page.ask("api/run", run=key)
            assert status == 404
            assert "deleted or moved" in json.loads(content)["error"]
            (tmp_path / "gone").rename(outputs)
            assert page.key("run_a") == key
            page.process.send_signal(signal.SIGTERM)
            assert list(changes)[-1] == ("closed", None)


@pytest.mark.parametrize("end", [signal.SIGINT, "the page", "idleness"])
def test_it_ends_well_with_pages_open(tmp_path, end, monitor):
    words = ["idle_minutes=0"] if end == "idleness" else []
    with monitor(tmp_path, *words) as page:
        heard: list[tuple[str, object]] = []
        if end != "idleness":
            with page.changes() as changes:
                heard.append(next(changes))
                if end == "the page":
                    assert page.ask("api/close", "POST")[0] == 200
                else:
                    page.process.send_signal(end)
                heard += changes
            assert heard[-1] == ("closed", None)
        assert page.process.wait(timeout=30) == 0


def test_a_hundred_runs_and_many_pages(tmp_path, going_on, monitor):
    going_on(tmp_path / "run_000").close()
    for number in range(1, 100):
        shutil.copytree(tmp_path / "run_000", tmp_path / f"run_{number:03}")
    with monitor(tmp_path) as page, page.changes() as one, page.changes() as other:
        assert len(page.json("api/runs")["runs"]) == 100
        revisions = {next(one)[1]["list"], next(other)[1]["list"]}
        going_on(tmp_path / "run_100")
        for stream in (one, other):
            while next(stream)[1]["list"] in revisions:
                pass
        assert len(page.runs_with("run_100")) == 101


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["absent"], "absent is no folder: give one that holds runs, or will"),
        ([".", "port=99999"], "port=99999 cannot be: give a number from 0 to 65535"),
        ([".", "port=x"], "port=x cannot be: give a number from 0 to 65535"),
        ([".", "idle_minutes=-1"], "idle_minutes=-1 cannot be: give a number from 0"),
        ([".", "idle_minutes=nan"], "idle_minutes=nan cannot be: give a number from 0"),
        ([".", "open=maybe"], "open=maybe is unknown to aam-monitor: there is auto, true, false"),
        ([".", "host=no.such.host.invalid"], "host=no.such.host.invalid is not known here: "),
        ([".", "host=192.0.2.1"], "host=192.0.2.1 is no address of this machine: give one that "),
        ([".", "prot=1"], "aam-monitor takes no prot=1: there is FOLDER, port=PORT, host=HOST"),
        ([".", ".."], "aam-monitor takes one FOLDER, not 2: give one that holds them all"),
    ],
)
def test_wrong_words_are_a_sentence_and_exit_code_2(aam_monitor, words, said):
    code, output, errors = aam_monitor(*words)
    assert (code, output) == (2, "")
    assert errors.startswith(said)
    assert errors.count("\n") == 1


@pytest.mark.parametrize(
    ("word", "environment", "is_opened"),
    [
        ("open=auto", {"DISPLAY": ":0"}, True),
        ("open=auto", {"DISPLAY": ":0", "SSH_CONNECTION": "from elsewhere"}, False),
        ("open=auto", {}, False),
        ("open=true", {}, True),
        ("open=false", {"DISPLAY": ":0"}, False),
    ],
)
def test_it_says_where_it_is_and_opens_where_there_is_a_screen(
    aam_monitor, monkeypatch, word, environment, is_opened
):
    opened: list[str] = []
    served: list[float | None] = []

    def serve(folder, address, *, idle_s):
        address.listener.close()
        served.append(idle_s)

    monkeypatch.setattr("aam.monitoring.live.server.serve", serve)
    monkeypatch.setattr("webbrowser.open", opened.append)
    monkeypatch.setattr(sys, "platform", "linux")
    for name in ("DISPLAY", "WAYLAND_DISPLAY", "SSH_CONNECTION"):
        monkeypatch.delenv(name, raising=False)
    for name, value in environment.items():
        monkeypatch.setenv(name, value)
    code, output, errors = aam_monitor(".", "port=0", "idle_minutes=0.5", word)
    assert (code, errors, served) == (0, "", [30.0])
    (url,) = re.findall(r"http://127\.0\.0\.1:\d+/[\w-]{32}/", output)
    port = urlsplit(url).port
    assert f"ssh -N -L {port}:127.0.0.1:{port} {socket.gethostname()}" in output
    assert opened == ([url] if is_opened else [])


def test_other_hosts_are_let_in_with_a_warning(aam_monitor, monkeypatch):
    def serve(folder, address, *, idle_s):
        address.listener.close()

    monkeypatch.setattr("aam.monitoring.live.server.serve", serve)
    code, output, _ = aam_monitor(".", "port=0", "host=0.0.0.0", "open=false")
    assert code == 0
    assert f"http://{socket.gethostname()}:" in output
    assert "host=0.0.0.0 lets other machines in, and nothing is encrypted" in output
    assert "ssh" not in output


def test_a_port_that_is_taken(page, aam_monitor):
    port = urlsplit(page.url).port
    code, output, errors = aam_monitor(".", f"port={port}")
    assert (code, output) == (2, "")
    assert errors.startswith(f"nothing can be served at host=127.0.0.1 port={port}: ")


def test_without_its_packages_there_is_help_and_a_sentence(aam_monitor, monkeypatch):
    monkeypatch.setattr("aam.monitoring.live.address.find_spec", lambda name: None)
    code, output, _ = aam_monitor("--help")
    assert code == 0
    for key in (*KEYS, "FOLDER"):
        assert key in output
    code, _, errors = aam_monitor(".")
    assert code == 2
    assert errors == (
        "the live page needs starlette, uvicorn, sse-starlette, plotly, not installed here: "
        "pip install 'aam[monitor]'\n"
    )


def ask(port, path, method="GET", host="127.0.0.1"):
    """By hand: urllib sends no wrong host and no raw path."""
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=30)
    connection.putrequest(method, path, skip_host=True)
    connection.putheader("Host", host)
    connection.endheaders()
    answer = connection.getresponse()
    try:
        return answer.status, answer.headers, answer.read()
    finally:
        connection.close()
