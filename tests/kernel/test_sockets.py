from __future__ import annotations

import os
import socket
import subprocess
import sys
from typing import TYPE_CHECKING

import pytest

from runtime.errors import Fault
from runtime.kernel.occupant import occupant
from runtime.kernel.sockets import Sockets

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path


@pytest.fixture
def sockets() -> Iterator[Sockets]:
    made = Sockets()
    yield made
    made.close()


def port_of(listening: socket.socket) -> int:
    port: int = listening.getsockname()[1]
    return port


def connects(port: int) -> bool:
    try:
        socket.create_connection(("127.0.0.1", port), timeout=1).close()
    except ConnectionRefusedError:
        return False
    return True


def test_a_free_port_is_taken_and_readable(sockets: Sockets) -> None:
    with sockets.listen("127.0.0.1", 0) as server:
        assert port_of(server) > 0
        assert connects(port_of(server))
        assert not server.get_inheritable()


def test_a_successor_gets_the_same_socket(sockets: Sockets) -> None:
    old = sockets.listen("127.0.0.1", 0)
    new = sockets.listen("127.0.0.1", 0)
    assert port_of(old) == port_of(new)
    old.close()
    sockets.prune()
    assert connects(port_of(new))
    new.close()


def test_it_listens_while_a_server_restarts(sockets: Sockets) -> None:
    first = sockets.listen("127.0.0.1", 0)
    port = port_of(first)
    first.close()
    assert connects(port)
    with sockets.listen("127.0.0.1", 0) as second:
        assert port_of(second) == port


def test_what_nobody_serves_is_closed(sockets: Sockets) -> None:
    server = sockets.listen("127.0.0.1", 0)
    port = port_of(server)
    server.close()
    sockets.prune()
    assert not connects(port)


def test_another_field_gets_another_socket(sockets: Sockets) -> None:
    with sockets.listen("127.0.0.1", 0) as api, sockets.listen("127.0.0.1", 0, field="mail.port") as mail:
        assert port_of(api) != port_of(mail)
        with pytest.raises(Fault, match=r"mail\.port and api\.port both ask for 127\.0\.0\.1"):
            sockets.listen("127.0.0.1", port_of(api), field="mail.port")


@pytest.mark.parametrize("host", ["localhost", "0.0.0.0", "127.0.0.1"])
def test_hosts(sockets: Sockets, host: str) -> None:
    with sockets.listen(host, 0) as server:
        assert connects(port_of(server))


@pytest.mark.parametrize("host", ["::", "::1"])
def test_hosts_of_the_newer_protocol(sockets: Sockets, host: str) -> None:
    if not socket.has_ipv6:
        return
    try:
        server = sockets.listen(host, 0)
    except Fault as fault:  # a machine without an IPv6 address says so
        assert "no address of this machine" in fault.message or "cannot listen" in fault.message  # noqa: PT017
        return
    with server:
        assert server.family == socket.AF_INET6
        assert connects(port_of(server)) == (host == "::")


def test_a_taken_port_names_its_holder(sockets: Sockets) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = port_of(taken)
        with pytest.raises(Fault) as caught:
            sockets.listen("127.0.0.1", port)
    command = "python" if "python" in sys.executable else ""
    assert caught.value.message.startswith(f"api.port: 127.0.0.1:{port} is taken by this very process ({command}")
    assert "runtime down" in caught.value.remedy
    assert "api.port" in caught.value.remedy


def test_a_port_taken_by_another_process_names_its_pid() -> None:
    code = """
import socket, sys
server = socket.create_server(("127.0.0.1", 0))
print(server.getsockname()[1], flush=True)
sys.stdin.read()
"""
    with subprocess.Popen(
        [sys.executable, "-c", code, "--password", "hunter2"],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    ) as process:
        assert process.stdout is not None
        port = int(process.stdout.readline())
        text = occupant(port)
        process.communicate()
    assert text.startswith(f"process {process.pid} (python")
    assert "hunter2" not in text


def test_a_port_taken_on_all_addresses_is_taken(sockets: Sockets) -> None:
    with (
        socket.create_server(("0.0.0.0", 0)) as taken,
        pytest.raises(Fault, match=f"process.*{os.getpid()}|this very"),
    ):
        sockets.listen("127.0.0.1", port_of(taken))


def test_an_unknown_host_and_a_foreign_address(sockets: Sockets) -> None:
    with pytest.raises(Fault, match='unknown host "no such host"') as caught:
        sockets.listen("no such host", 0)
    assert "api.host" in caught.value.remedy
    with pytest.raises(Fault, match=r"192\.0\.2\.1 is no address of this machine"):
        sockets.listen("192.0.2.1", 0)


def test_a_low_port_that_is_not_allowed(sockets: Sockets, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(self: socket.socket, address: object) -> None:
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(socket.socket, "bind", refuse)
    with pytest.raises(Fault, match=r"may not listen on 127\.0\.0\.1:80\n") as caught:
        sockets.listen("127.0.0.1", 80)
    assert "1024" in caught.value.remedy


class TestTheOccupant:
    def test_is_unknown_where_no_one_listens(self, tmp_path: Path) -> None:
        assert occupant(1, proc=tmp_path) == "another process (which one could not be found out)"

    def test_is_hidden_where_it_is_another_users(self, tmp_path: Path) -> None:
        self.table(tmp_path)
        assert occupant(8080, proc=tmp_path) == "a process of another user (which one is not visible to this user)"

    @pytest.mark.parametrize(
        ("command", "shown"),
        [
            (["/usr/bin/python3", "-m", "http.server", "8080"], "python3 -m http.server 8080"),
            (["valkey-server", "--requirepass", "secret"], "valkey-server"),
            (["app", "serve", "URL=postgres://u:p@h"], "app serve"),
            (["nginx: master process /usr/sbin/nginx"], "nginx:"),
            ([], "unknown command"),
        ],
    )
    def test_is_shown_without_what_may_be_secret(self, tmp_path: Path, command: list[str], shown: str) -> None:
        self.table(tmp_path)
        (tmp_path / "77" / "fd").mkdir(parents=True)
        (tmp_path / "77" / "fd" / "3").symlink_to("socket:[4242]")
        (tmp_path / "77" / "cmdline").write_text("\0".join([*command, ""]) if command else "")
        assert occupant(8080, proc=tmp_path) == f"process 77 ({shown})"

    @staticmethod
    def table(proc: Path) -> None:
        (proc / "net").mkdir()
        (proc / "net" / "tcp").write_text(
            "  sl  local_address rem_address   st tx_queue rx_queue tr tm->when retrnsmt uid timeout inode\n"
            "   0: 0100007F:1F90 00000000:0000 0A 00000000:00000000 00:00000000 00000000 0 0 4242 1\n"
            "   1: 0100007F:1F91 00000000:0000 01 00000000:00000000 00:00000000 00000000 0 0 4243 1\n"
        )
