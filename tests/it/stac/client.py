"""What a notebook does with the lake: opens it, looks around, searches, pages, downloads.

Usage: client.py URL KEY"""

import sys

import requests
from pystac_client import Client

url, key = sys.argv[1:]
client = Client.open(url)
for name in ("COLLECTIONS", "ITEM_SEARCH", "FEATURES"):
    assert client.conforms_to(name), name
assert client.conforms_to("SORT"), "sort"

collections = {collection.id: collection for collection in client.get_collections()}
assert "s--sea" in collections, collections
sea = client.get_collection("s--sea")
assert sea.title == "The sea"
sea.validate()

items = list(sea.get_items())
assert len(items) == 12, len(items)
for item in items:
    item.validate()
assert sea.get_item("s--day-03").id == "s--day-03"
assert sea.get_item("s--nothing") is None

search = client.search(collections=["s--sea"], bbox=[2.5, 0, 6.5, 20], datetime="2026-01-04/2026-01-31")
found = [item.id for item in search.items()]
assert found == ["s--day-06", "s--day-05", "s--day-04"], found
assert search.matched() == 3

for method in ("GET", "POST"):
    pages = list(client.search(method=method, collections=["s--sea"], limit=5, sortby="properties.datetime").pages())
    ids = [item.id for page in pages for item in page]
    assert [len(page) for page in pages] == [5, 5, 2], [len(page) for page in pages]
    assert ids == [f"s--day-{day:02}" for day in range(1, 13)], ids
    shape = {"type": "Polygon", "coordinates": [[[0, 0], [3.5, 0], [3.5, 20], [0, 20], [0, 0]]]}
    found = client.search(method=method, intersects=shape, max_items=10)
    assert sorted(item.id for item in found.items()) == ["s--day-01", "s--day-02", "s--day-03"]
    found = client.search(method=method, ids=["s--day-07"])
    assert [item.id for item in found.items()] == ["s--day-07"]

asset = sea.get_item("s--day-01").assets["day-01.nc"]
assert requests.get(asset.href).content == b"day 1"
assert "alternate" not in asset.extra_fields, "nobody is told of endpoints who does not say who they are"

assert client.search(ids=["s--kept"]).matched() == 0
known = Client.open(url, headers={"Authorization": f"Bearer {key}"}, parameters={"sign": "1"})
kept = next(known.search(method="GET", ids=["s--kept"]).items())
kept.validate()
plain = next(Client.open(url, headers={"Authorization": f"Bearer {key}"}).search(ids=["s--kept"]).items())
alternates = plain.assets["kept.nc"].extra_fields["alternate"]
for there in alternates.values():
    assert requests.get(there["href"], headers={"Authorization": f"Bearer {key}"}).content == b"kept"
assert requests.get(plain.assets["kept.nc"].href).status_code == 401
assert requests.get(kept.assets["kept.nc"].href).content == b"kept"
print("all well")
