"""Codecs: lossless, and deaf to absurd headers."""

import io
import tracemalloc

import imagecodecs
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from realface.data.codecs import CODECS, codec_of, decode

SHAPE, DTYPE = (6, 5, 3), np.dtype("u2")


def pixels(shape=SHAPE, dtype=DTYPE, seed=0):
    top = np.iinfo(dtype).max
    return np.random.default_rng(seed).integers(0, top + 1, shape).astype(dtype)


@pytest.mark.parametrize("name", sorted(CODECS))
@given(
    st.tuples(st.integers(1, 70), st.integers(1, 70), st.sampled_from([1, 3])),
    st.sampled_from(["u1", "u2"]),
    st.integers(0, 1000),
    st.sampled_from([1, 0.01, 0]),
)
def test_every_codec_is_lossless(name, shape, dtype, seed, noise):
    given = (pixels(shape, np.dtype(dtype), seed) * noise).astype(dtype)
    back = decode(f"mask.{name}", CODECS[name].encode(given), shape, given.dtype)
    assert back.dtype == given.dtype
    assert np.array_equal(back, given)
    assert back.flags.writeable


@pytest.mark.parametrize("name", ["png", "jxl"])
def test_other_readers_see_the_same_colours(name):
    given = pixels((16, 16, 3))
    read = {"png": imagecodecs.png_decode, "jxl": imagecodecs.jpegxl_decode}[name]
    assert np.array_equal(read(CODECS[name].encode(given)), given)


def test_npy_is_what_numpy_reads():
    data = CODECS["npy"].encode(pixels())
    assert np.array_equal(np.load(io.BytesIO(data), allow_pickle=False), pixels())


@pytest.mark.parametrize("name", sorted(CODECS))
@pytest.mark.parametrize(
    ("shape", "dtype"),
    [((6, 5, 1), "u2"), ((6, 5, 3), "u1"), ((5, 6, 3), "u2"), ((3, 5, 3), "u2"),
     ((12, 5, 3), "u2")],
)  # fmt: skip
def test_what_the_json_does_not_say_is_refused(name, shape, dtype):
    with pytest.raises(ValueError, match=f"mask.{name} cannot be decoded"):
        decode(f"mask.{name}", CODECS[name].encode(pixels()), shape, np.dtype(dtype))


@pytest.mark.parametrize("name", sorted(CODECS))
@given(st.data())
def test_what_is_cut_short_is_refused(name, data):
    whole = CODECS[name].encode(pixels())
    part = whole[: data.draw(st.integers(0, len(whole) - 20))]
    with pytest.raises(ValueError, match=f"mask.{name} cannot be decoded"):
        decode(f"mask.{name}", part, SHAPE, DTYPE)


@pytest.mark.parametrize("name", sorted(CODECS))
@given(st.binary(max_size=300))
def test_rubbish_is_refused(name, data):
    with pytest.raises(ValueError, match=f"mask.{name} cannot be decoded"):
        decode(f"mask.{name}", data, SHAPE, DTYPE)


def absurd_png() -> bytes:
    data = bytearray(CODECS["png"].encode(pixels()))
    data[16:24] = (100_000).to_bytes(4, "big") * 2
    return bytes(data)


def absurd_npy() -> bytes:
    file = io.BytesIO()
    header = {"descr": "<u2", "fortran_order": False, "shape": (10**6, 10**6, 3)}
    np.lib.format.write_array_header_1_0(file, header)
    return file.getvalue() + bytes(100)


def absurd_blosc() -> bytes:
    data = bytearray(CODECS["blosc"].encode(pixels()))
    data[4:8] = (2**31 - 1).to_bytes(4, "little")
    return bytes(data)


def absurd_jxl() -> bytes:
    """A bare codestream of 2^30 x 2^30: size header of two 30 bit numbers, one less each."""
    bits = "0" + "11" + "1" * 30 + "000" + "11" + "1" * 30 + "1"
    bits = bits.ljust(-(-len(bits) // 8) * 8, "0")
    packed = bytes(int(bits[at : at + 8][::-1], 2) for at in range(0, len(bits), 8))
    return b"\xff\x0a" + packed + bytes(200)


ABSURD = {"png": absurd_png, "npy": absurd_npy, "blosc": absurd_blosc, "jxl": absurd_jxl}


@pytest.mark.parametrize("name", sorted(CODECS))
def test_absurd_headers_take_no_memory(name):
    data = ABSURD[name]()
    tracemalloc.start()
    with pytest.raises(ValueError, match=f"mask.{name} cannot be decoded"):
        decode(f"mask.{name}", data, SHAPE, DTYPE)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 1 << 20
    with pytest.raises(ValueError, match="cannot be the size"):  # a json that agrees with it
        decode(f"mask.{name}", data, (100_000, 100_000, 3), DTYPE)


def test_large_but_honest_headers_are_compared_first():
    large = CODECS["jxl"].encode(np.zeros((3000, 3000, 3), "u2"))
    with pytest.raises(ValueError, match="shape"):
        decode("mask.jxl", large, SHAPE, DTYPE)


def test_pickles_are_refused():
    file = io.BytesIO()
    np.save(file, np.array([{}], object), allow_pickle=True)
    with pytest.raises(ValueError, match=r"mask.npy cannot be decoded: it has object"):
        decode("mask.npy", file.getvalue(), SHAPE, DTYPE)


def test_members_name_their_codec():
    assert codec_of("diffuse_albedo.jxl").name == "jxl"
    for member in ("mask.pyd", "mask", "json"):
        with pytest.raises(ValueError, match="png, jxl, blosc, npy"):
            codec_of(member)
