import json
import shutil
import struct
import tarfile
import zlib
from dataclasses import replace
from datetime import date, timedelta
from pathlib import Path

import imagecodecs
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from realface.data import remote
from realface.data.index import Terms
from realface.data.shard_faults import LISTED, PICKLED
from realface.data.verify import verify
from realface.errors import FailureError, InputError
from tests.data.serving import serve
from tests.data.shard_folders import (
    four_faces,
    named,
    patch,
    read_listing,
    read_tar,
    rewrite,
    write_folder,
    write_listing,
)

FIRST = "face-0-y00000-x00000"


@pytest.fixture(scope="module")
def good(tmp_path_factory) -> Path:
    return write_folder(tmp_path_factory.mktemp("good") / "shards", four_faces())


@pytest.fixture
def copy(good, tmp_path) -> Path:
    return Path(shutil.copytree(good, tmp_path / "copy"))


def only(faults: list[str], *words: str) -> None:
    """Each fault is about one of these, and none of these is missing."""
    assert len(faults) == len(words), faults
    for word in words:
        assert any(word in fault for fault in faults), (word, faults)


def changed(folder: Path, name: str, change, table: bool = True) -> None:
    """The first training shard with a member changed; index and table call it right."""
    contents = [
        named(info.name, change(data)) if info.name == name else (info, data)
        for info, data in read_tar(folder / "train-000000.tar")
    ]
    rewrite(folder, "train-000000.tar", contents, table)


def added(folder: Path, *members) -> None:
    contents = read_tar(folder / "train-000000.tar")
    rewrite(folder, "train-000000.tar", [*contents, *members])


# What is well


@pytest.mark.parametrize("codec", ["blosc", "jxl", "npy", "png"])
def test_what_is_well_has_no_faults(tmp_path, codec):
    seen = []
    folder = write_folder(tmp_path / "shards", four_faces(), codec)
    assert verify(folder, lambda *at: seen.append(at)) == []
    assert seen == [(number, 16) for number in range(1, 17)]


def test_what_is_well_behind_a_url(good):
    with serve(good, ranges=False) as server:
        assert verify(server.url) == []
    assert verify(good.as_uri()) == []


@pytest.mark.slow
def test_workers_find_what_one_process_finds(copy):
    (copy / "val-000000.tar").unlink()
    changed(copy, f"{FIRST}.mask.png", lambda data: data[:40])
    faults = verify(copy)
    assert len(faults) == 2
    assert verify(copy, workers=2) == faults


# Files


@pytest.mark.parametrize("share", [0.2, 0.5, 0.9])
def test_a_flipped_bit(copy, share):
    data = bytearray((copy / "train-000001.tar").read_bytes())
    data[int(share * len(data))] ^= 4
    (copy / "train-000001.tar").write_bytes(data)
    faults = verify(copy)
    assert faults[0] == "train-000001.tar: its SHA-256 is not the one in index.json"
    assert all(fault.startswith("train-000001.tar") for fault in faults)


def test_a_flipped_bit_of_a_member_is_found_by_its_sum(copy):
    _, entries = read_listing(copy)
    member = entries[1].members[2]
    data = bytearray((copy / "train-000000.tar").read_bytes())
    data[member.offset + member.size // 2] ^= 1
    (copy / "train-000000.tar").write_bytes(data)
    only(verify(copy), "SHA-256", f"key {entries[1].key}: {member.name}: its CRC-32")


@settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(at=st.floats(0, 1, exclude_max=True), bits=st.integers(1, 255), cut=st.booleans())
def test_no_damage_escapes_and_none_ends_the_search(good, tmp_path_factory, at, bits, cut):
    folder = Path(shutil.copytree(good, tmp_path_factory.mktemp("damaged") / "copy"))
    data = bytearray((folder / "val-000000.tar").read_bytes())
    place = int(at * len(data))
    data[place] ^= bits
    (folder / "val-000000.tar").write_bytes(data[:place] if cut else data)
    faults = verify(folder)
    assert any("SHA-256" in fault for fault in faults)
    assert all(fault.startswith("val-000000.tar: ") for fault in faults)


@pytest.mark.parametrize("share", [0.0, 0.3, 0.7, 0.99])
def test_a_truncated_shard(copy, share):
    data = (copy / "train-000000.tar").read_bytes()
    (copy / "train-000000.tar").write_bytes(data[: int(share * len(data))])
    faults = verify(copy)
    assert any(f"bytes, index.json says {len(data)}" in fault for fault in faults)
    if share < 0.8:
        assert any("is missing" in fault for fault in faults)
        assert any("samples, index.json says 5" in fault for fault in faults)


def test_a_missing_shard_and_one_too_many(copy):
    (copy / "train-000001.tar").rename(copy / "train-999999.tar")
    (copy / ".hidden").touch()
    assert verify(copy) == ["train-000001.tar: missing", "train-999999.tar: not in index.json"]


def test_a_table_that_is_not_the_packed_one_and_shards_are_read_all_the_same(copy):
    with (copy / "samples.jsonl").open("a") as file:
        file.write("{}\n")
    changed_bytes = bytearray((copy / "val-000000.tar").read_bytes())
    changed_bytes[-1] = 1
    (copy / "val-000000.tar").write_bytes(changed_bytes)
    only(verify(copy), "samples.jsonl: its SHA-256", "val-000000.tar: its SHA-256")


def test_a_table_that_names_other_samples(copy):
    index, entries = read_listing(copy)
    members = (replace(entries[1].members[0], offset=entries[1].members[0].offset + 1),)
    entries[0] = replace(entries[0], key="nobody")
    entries[1] = replace(entries[1], members=members + entries[1].members[1:])
    entries[2] = replace(entries[2], subject="someone", members=entries[2].members)
    write_listing(copy, index, entries)
    only(
        verify(copy),
        f"key {FIRST} is not in samples.jsonl",
        "key nobody is missing",
        f"key {entries[1].key}: {members[0].name} is ",
        f"key {entries[2].key}: its json says subject face-0, samples.jsonl someone",
    )


def test_a_folder_without_an_index(tmp_path, copy):
    with pytest.raises(InputError, match="nowhere, no folder"):
        verify(tmp_path / "nowhere")
    for text in ('{"version": 7}', "[1]", "{", '{"version": 2}'):
        (copy / "index.json").write_text(text)
        with pytest.raises(InputError, match=r"index\.json"):
            verify(copy)


# Tars


def test_members_that_must_not_be_unpacked(copy):
    link = tarfile.TarInfo("face-9.mask.png")
    link.type, link.linkname = tarfile.SYMTYPE, "/etc/passwd"
    hard = tarfile.TarInfo("face-8.mask.png")
    hard.type, hard.linkname = tarfile.LNKTYPE, "face-9.mask.png"
    device = tarfile.TarInfo("face-7.mask.png")
    device.type = tarfile.CHRTYPE
    folder = tarfile.TarInfo("folder")
    folder.type = tarfile.DIRTYPE
    paths = ["../up.mask.png", "/etc/x.mask.png", "a/b.mask.png", "C:\\x.mask.png", ".mask.png"]
    added(copy, *((info, b"") for info in (link, hard, device, folder)), *map(named, paths))
    only(verify(copy), *["link, folder or device"] * 4, *["is a path"] * 5)


def test_pickled_members(copy):
    names = [f"face-9.{suffix}" for suffix in sorted(PICKLED)] + ["face-9.x.PKL.gz"]
    added(copy, *map(named, names))
    faults = verify(copy)
    only(faults, *[f"{name!r} is a pickle" for name in names])


def test_members_that_nobody_names(copy):
    added(copy, named("face-9.mask.png", b"x"))
    assert "train-000000.tar: key face-9 is not in samples.jsonl" in verify(copy)


def test_a_key_with_dots(copy):
    contents = [
        named(info.name.replace(FIRST, "face-0.y0"), data)
        for info, data in read_tar(copy / "train-000000.tar")
    ]
    rewrite(copy, "train-000000.tar", contents)
    only(
        verify(copy),
        "key face-0 is not in samples.jsonl",
        "key face-0: json is missing",
        f"key {FIRST} is missing",
    )
    rewrite(copy, "train-000000.tar", contents, table=True)
    only(verify(copy), "key face-0: json is missing")


def test_a_member_whose_kind_has_dots(copy):
    contents = read_tar(copy / "train-000000.tar")
    extra = named(f"{FIRST}.extra.mask.png", b"x")
    rewrite(copy, "train-000000.tar", [extra, *contents])
    faults = verify(copy)
    assert any("extra.mask.png is not in samples.jsonl (a key holds no dots)" in f for f in faults)


def test_a_key_and_a_member_that_occur_twice(copy):
    contents = read_tar(copy / "train-000000.tar")
    twin = [(info, data) for info, data in contents if info.name.startswith(FIRST)]
    rewrite(copy, "train-000000.tar", [*contents, *twin])
    assert f"train-000000.tar: key {FIRST} occurs twice" in verify(copy)
    rewrite(copy, "train-000000.tar", [twin[0], *contents])
    name = twin[0][0].name.partition(".")[2]
    assert f"train-000000.tar: key {FIRST}: {name} occurs twice" in verify(copy)


def test_a_key_that_two_shards_share(copy):
    contents = read_tar(copy / "train-000001.tar")
    other = read_tar(copy / "train-000000.tar")
    twin = [(info, data) for info, data in other if info.name.startswith(FIRST)]
    rewrite(copy, "train-000001.tar", [*contents, *twin], table=True)
    assert any(f"key {FIRST} occurs twice in train" in fault for fault in verify(copy))


def test_a_shard_whose_faults_are_many_is_listed_in_part(copy):
    added(copy, *(named(f"face-{number}.pkl") for number in range(LISTED + 30)))
    faults = verify(copy)
    assert len(faults) == LISTED + 1
    assert faults[-1] == "train-000000.tar: and 30 more"


# Samples


@pytest.mark.parametrize("kind", ["json", "mask.png", "shape.png"])
def test_a_missing_kind(copy, kind):
    contents = read_tar(copy / "train-000000.tar")
    left = [(info, data) for info, data in contents if info.name != f"{FIRST}.{kind}"]
    rewrite(copy, "train-000000.tar", left, table=True)
    only(verify(copy), f"key {FIRST}: {kind} is missing")


def test_a_damaged_image_in_a_whole_tar(copy):
    changed(copy, f"{FIRST}.diffuse_albedo.png", lambda data: data[:-50])
    only(verify(copy), f"key {FIRST}: diffuse_albedo")


@pytest.mark.parametrize("json_text", [b"{", b"[]", b"{}", b'{"version": 99}', b"\xff\xfe"])
def test_a_json_that_says_nothing(copy, json_text):
    changed(copy, f"{FIRST}.json", lambda data: json_text)
    only(verify(copy), f"key {FIRST}")


def png_of(width: int, height: int) -> bytes:
    """A PNG's header that promises a size, with hardly any pixels behind it."""

    def chunk(name: bytes, data: bytes) -> bytes:
        return (
            struct.pack(">I", len(data)) + name + data + struct.pack(">I", zlib.crc32(name + data))
        )

    header = struct.pack(">IIBBBBB", width, height, 16, 2, 0, 0, 0)
    pixels = chunk(b"IDAT", zlib.compress(b"\0" * 100))
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + pixels + chunk(b"IEND", b"")


def npy_of(width: int, height: int) -> bytes:
    head = f"{{'descr': '<u2', 'fortran_order': False, 'shape': ({height}, {width}, 3), }}"
    text = head.ljust(117) + "\n"
    return b"\x93NUMPY\x01\x00" + struct.pack("<H", len(text)) + text.encode() + b"\0" * 100


@pytest.mark.parametrize(("codec", "make"), [("npy", npy_of), ("png", png_of)])
@pytest.mark.parametrize("honest", [False, True], ids=["json says 24", "json says as much"])
def test_an_absurd_image(tmp_path, codec, make, honest):
    folder = write_folder(tmp_path / "shards", four_faces(), codec)

    def enlarged(data: bytes) -> bytes:
        about = json.loads(data)
        about["maps"]["diffuse_albedo"] |= {"height": 100_000, "width": 100_000}
        return json.dumps(about).encode()

    changed(folder, f"{FIRST}.diffuse_albedo.{codec}", lambda data: make(100_000, 100_000))
    if honest:
        changed(folder, f"{FIRST}.json", enlarged)
    only(verify(folder), f"key {FIRST}: ")


def test_normals_without_length(copy):
    def spoil(data: bytes) -> bytes:
        pixels = imagecodecs.png_decode(data)
        pixels[12, 12] = 32768  # in the middle, inside the mask
        pixels[0, 0] = 32768  # in a corner, outside
        return bytes(imagecodecs.png_encode(pixels))

    changed(copy, f"{FIRST}.specular_normals.png", spoil)
    only(verify(copy), f"key {FIRST}: specular_normals has 1 vectors that are not of unit length")


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"key": "other"}, "its json says key other"),
        ({"y": 90}, "outside its map"),
        ({"x": -1}, "outside its map"),
    ],
)
def test_a_json_that_says_something_else(copy, change, words):
    changed(copy, f"{FIRST}.json", lambda data: json.dumps(json.loads(data) | change).encode())
    only(verify(copy), f"key {FIRST}: {words}" if "key" in change else words)


def test_maps_that_are_not_stored_as_the_index_says(copy):
    def as_dx(data: bytes) -> bytes:
        about = json.loads(data)
        about["maps"]["shape_normals"]["green"] = "dx"
        return json.dumps(about).encode()

    changed(copy, f"{FIRST}.json", as_dx)
    only(verify(copy), f"key {FIRST}: shape_normals of 16 bits as unit_vector, object, dx: no map")


def test_maps_of_two_sizes(copy):
    def halved(data: bytes) -> bytes:
        return bytes(imagecodecs.png_encode(imagecodecs.png_decode(data)[::2, ::2].copy()))

    def half_said(data: bytes) -> bytes:
        about = json.loads(data)
        about["maps"]["mask"] |= {"height": 12, "width": 12}
        return json.dumps(about).encode()

    changed(copy, f"{FIRST}.mask.png", halved)
    changed(copy, f"{FIRST}.json", half_said)
    only(verify(copy), f"key {FIRST}: its maps differ in size")


# The folder as a whole


def test_a_face_on_both_sides_of_the_split(tmp_path):
    shards = four_faces()
    shards["val-000000.tar"].append(patch("face-1", 48, 48))
    folder = write_folder(tmp_path / "shards", shards)
    only(verify(folder), "subject face-1 is trained on and validated with")


def test_a_whole_face_on_the_other_side_of_the_split(tmp_path):
    shards = four_faces()
    shards["whole-val-000000.tar"].append(patch("face-2", size=12))
    folder = write_folder(tmp_path / "shards", shards)
    only(verify(folder), "subject face-2 is trained on and validated with")


@pytest.mark.parametrize(
    ("y", "words"), [(24, []), (23, ["1 validation patches overlap"]), (None, ["places unknown"])]
)
def test_one_face_may_be_split_where_its_patches_do_not_overlap(tmp_path, y, words):
    shards = {
        "train-000000.tar": [patch("face-0", 0, 0), patch("face-0", 0, 24)],
        "val-000000.tar": [patch("face-0", y, 0), patch("face-0", 48, 0)],
    }
    if y is None:
        shards["val-000000.tar"].pop(0)
        shards["val-000000.tar"].append(replace(patch("face-0", None, None), key="face-0-1"))
    only(verify(write_folder(tmp_path / "shards", shards)), *words)


def test_samples_of_nobody_known_are_on_no_side(tmp_path):
    def lent(number: int):
        one = patch(f"face-{number}")
        return replace(one, key=str(number), subject=None, y=None, x=None, map_size=None)

    shards = {"train-000000.tar": [lent(0), lent(1)], "val-000000.tar": [lent(2)]}
    assert verify(write_folder(tmp_path / "shards", shards)) == []


@pytest.mark.parametrize(("days", "faults", "warnings"), [(40, 0, 0), (20, 0, 1), (-3, 1, 0)])
def test_data_that_must_be_destroyed(tmp_path, caplog, days, faults, warnings):
    terms = Terms("RealFaceDB", None, (date.today() + timedelta(days)).isoformat())
    folder = write_folder(tmp_path / "shards", four_faces(), terms=[terms])
    only(verify(folder), *["must be destroyed by"] * faults)
    assert caplog.text.count("must be destroyed by") == warnings


# Servers


@pytest.fixture
def quick(monkeypatch):
    monkeypatch.setattr(remote, "FIRST_WAIT", 0.01)
    monkeypatch.setattr(remote, "TRIES", 3)
    remote._client.cache_clear()
    yield
    remote._client.cache_clear()


def test_a_shard_that_a_server_has_not_and_one_that_comes_damaged(copy, quick):
    (copy / "train-000001.tar").unlink()
    with serve(copy, faults=[None, None, "damage"]) as server:
        faults = verify(server.url)
    only(faults, "train-000000.tar: its SHA-256", "train-000001.tar, which is not there")


def test_a_server_that_fails_for_good_ends_the_search(good, quick):
    failure = pytest.raises(FailureError, match=r"train-000001\.tar, asked for 3 times")
    with serve(good, faults=[None, None, None], then=503) as server, failure:
        verify(server.url)
