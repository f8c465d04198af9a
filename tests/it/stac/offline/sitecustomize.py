"""Lets validators find schemas on a machine without the world: those of STAC and GeoJSON in the wheel
of pystac, those of extensions beside this file. Whatever else is asked for outside this machine is
refused, and its address is written to the file that STAC_ASKED names."""

import io
import os
import pathlib
import urllib.parse

HERE = pathlib.Path(__file__).parent / "schemas"
ASKED = os.environ.get("STAC_ASKED")


def wheel():
    import importlib.util

    # Not imported: that would load more than this has to know.
    spec = importlib.util.find_spec("pystac")
    return pathlib.Path(spec.origin).parent / "validation" / "jsonschemas"


def schema(url):
    """The file of a schema, or nothing."""
    parts = urllib.parse.urlsplit(url)
    path = parts.path.strip("/")
    name = path.rsplit("/", 1)[-1].removesuffix(".json") + ".json"
    if parts.hostname == "geojson.org":
        file = wheel() / "geojson" / name
    elif parts.hostname == "schemas.stacspec.org" and path.startswith("v1.1.0/"):
        file = wheel() / "stac-spec" / "v1.1.0" / name
    elif parts.hostname == "stac-extensions.github.io":
        file = HERE / (path.split("/", 1)[0] + ".json")
    else:
        return None
    return file.read_bytes() if file.is_file() else None


def answer(url):
    """Status and body for what is outside; nothing for this machine."""
    parts = urllib.parse.urlsplit(url)
    if parts.scheme not in ("http", "https") or parts.hostname in ("127.0.0.1", "localhost"):
        return None
    found = schema(url)
    if found is not None:
        return 200, found
    with open(ASKED, "a", encoding="utf-8") as asked:
        asked.write(url + "\n")
    return 404, b"{}"


def patch_requests():
    import requests
    from requests.adapters import HTTPAdapter

    send = HTTPAdapter.send

    def send_here(self, request, **options):
        known = answer(request.url)
        if known is None:
            return send(self, request, **options)
        response = requests.Response()
        response.status_code, body = known
        response.raw, response._content = io.BytesIO(body), body
        response.url, response.request, response.encoding = request.url, request, "utf-8"
        response.headers["Content-Type"] = "application/json"
        return response

    HTTPAdapter.send = send_here


def patch_urllib():
    import urllib.error
    import urllib.request
    import urllib.response
    from email.message import Message

    open_url = urllib.request.OpenerDirector.open

    def open_here(self, fullurl, *rest, **options):
        url = fullurl if isinstance(fullurl, str) else fullurl.full_url
        known = answer(url)
        if known is None:
            return open_url(self, fullurl, *rest, **options)
        status, body = known
        headers = Message()
        headers["Content-Type"] = "application/json"
        if status != 200:
            raise urllib.error.HTTPError(url, status, "not here", headers, io.BytesIO(body))
        return urllib.response.addinfourl(io.BytesIO(body), headers, url, status)

    urllib.request.OpenerDirector.open = open_here


def patch_urllib3():
    import urllib3

    open_url = urllib3.PoolManager.urlopen

    def open_here(self, method, url, *rest, **options):
        known = answer(url)
        if known is None:
            return open_url(self, method, url, *rest, **options)
        status, body = known
        headers = {"content-type": "application/json"}
        return urllib3.HTTPResponse(body=io.BytesIO(body), status=status, headers=headers, preload_content=False)

    urllib3.PoolManager.urlopen = open_here


if ASKED:
    for patch in (patch_requests, patch_urllib, patch_urllib3):
        try:
            patch()
        except ImportError:
            pass
