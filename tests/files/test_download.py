import hashlib
import http.server
import threading
import urllib.error
import urllib.request

import pytest

from gans.errors import UserError
from gans.files import download

CONTENT = b"the file" * 100
SHA256 = hashlib.sha256(CONTENT).hexdigest()


@pytest.fixture
def server():
    """Sends who asks for a path in `moved` elsewhere, and gives all others the file."""

    class Handler(http.server.BaseHTTPRequestHandler):
        moved = {}

        def do_GET(self):
            self.send_response(302 if self.path in self.moved else 200)
            if self.path in self.moved:
                self.send_header("Location", self.moved[self.path])
            if self.path.endswith(".gz"):
                self.send_header("Content-Encoding", "x-gzip")
            self.end_headers()
            if self.path not in self.moved:
                self.wfile.write(CONTENT)

        def log_message(self, *args):
            pass

    served = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    threading.Thread(target=served.serve_forever, args=(0.02,), daemon=True).start()
    yield f"http://127.0.0.1:{served.server_port}", Handler.moved
    served.shutdown()
    served.server_close()


def fetch(url, target):
    download.fetch(url, target, size=len(CONTENT), sha256=SHA256, advice="fetch it by hand")


def test_a_file_that_has_moved_is_found(tmp_path, server):
    address, moved = server
    moved["/old"] = f"{address}/new"
    fetch(f"{address}/old", tmp_path / "file")
    assert (tmp_path / "file").read_bytes() == CONTENT


def test_an_archive_is_not_unpacked_where_a_server_says_that_it_is_encoded(tmp_path, server):
    fetch(f"{server[0]}/file.gz", tmp_path / "file")
    assert (tmp_path / "file").read_bytes() == CONTENT


@pytest.mark.parametrize("elsewhere", ["ftp://127.0.0.1/x", "file:///etc/hostname"])
def test_other_kinds_of_addresses_are_not_followed(tmp_path, server, elsewhere):
    address, moved = server
    moved["/old"] = elsewhere
    with pytest.raises(UserError, match="Cannot download .*: fetch it by hand"):
        fetch(f"{address}/old", tmp_path / "file")
    assert not list(tmp_path.iterdir())


def test_a_circle_of_addresses_ends(tmp_path, server):
    address, moved = server
    moved |= {"/old": f"{address}/older", "/older": f"{address}/old"}
    with pytest.raises(UserError, match="Cannot download"):
        fetch(f"{address}/old", tmp_path / "file")


def test_nothing_encrypted_becomes_open():
    redirects = download._Redirects()

    def follow(old, new):
        request = urllib.request.Request(old)
        return redirects.redirect_request(request, None, 302, "Found", {}, new)

    for old, new in [("https", "https"), ("http", "https"), ("http", "http")]:
        assert follow(f"{old}://a/x", f"{new}://b/y").full_url == f"{new}://b/y"
    with pytest.raises(urllib.error.URLError, match="refers to http://b/y, which is not followed"):
        follow("https://a/x", "http://b/y")


def test_what_a_killed_download_left_goes_once_the_file_is_there(tmp_path):
    (tmp_path / "file").write_bytes(CONTENT)
    (tmp_path / "file.part").write_bytes(CONTENT[:10])
    fetch("http://127.0.0.1:1/none", tmp_path / "file")
    assert [path.name for path in tmp_path.iterdir()] == ["file"]
