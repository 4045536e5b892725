"""Headers of .npy files are read before what they claim is allocated."""

import io

import numpy as np
import pytest
from numpy.lib import format as npy_format

from speecht5_fairseq.data.npy import npy_file, read_header, read_numbers


def saved(array, **options):
    file = io.BytesIO()
    np.save(file, array, **options)
    file.seek(0)
    return file


@pytest.mark.parametrize("dtype", ["<f4", ">f8", "<f2", "|i1", "<u8"])
@pytest.mark.parametrize("shape", [(3,), (2, 3), (), (0,)])
def test_numbers_are_numpys(dtype, shape):
    array = np.arange(np.prod(shape, dtype=int)).reshape(shape).astype(dtype)
    file = saved(array)
    header = read_header(file)
    assert header.shape == shape and header.dtype == array.dtype
    np.testing.assert_array_equal(read_numbers(file, header), array)


@pytest.mark.parametrize(
    ("array", "said"),
    [
        (np.array([{}], dtype=object), "holds no numbers but object"),
        (np.array(["a"]), "holds no numbers but <U1"),
        (np.zeros(2, dtype=[("a", "<f4")]), "holds no numbers but"),
        (np.zeros(2, dtype=complex), "holds no numbers but complex128"),
    ],
)
def test_what_is_no_number_is_refused(array, said):
    with pytest.raises(ValueError, match=said):
        read_header(saved(array, allow_pickle=True))


def header_of(text):
    raw = text.encode("latin-1")
    return io.BytesIO(b"\x93NUMPY\x01\x00" + len(raw).to_bytes(2, "little") + raw + bytes(40))


@pytest.mark.parametrize(
    "text",
    [
        "", "{",
        "(" * 9000, "-" * 9000 + "1", "{'descr': '<f4'}", "{'descr': '<f4', 'fortran_order': 1, 'shape': (1,)}",
        "{'descr': 'nonsense', 'fortran_order': False, 'shape': (1,)}", "__import__('os').system('touch intruded')",
        "{'descr': '<f4', 'fortran_order': False, 'shape': ('a',)}", "x" * 20000,
    ],
)  # fmt: skip
def test_a_damaged_header_is_one_error(text):
    with pytest.raises(ValueError, match="no .npy header: "):
        read_header(header_of(text))


@pytest.mark.parametrize("data", [b"", b"\x93NUMPY", b"\x93NUMPY\x07\x00aa", b"PK\x03\x04" + bytes(100)])
def test_what_is_no_npy(data):
    with pytest.raises(ValueError, match="no .npy header: "):
        read_header(io.BytesIO(data))


@pytest.mark.parametrize("shape", [(10**12,), (11,), (1 << 62, 1 << 62), (-1,), (3, -1)])
def test_no_more_is_allocated_than_the_file_holds(shape):
    file = io.BytesIO()
    npy_format.write_array_header_1_0(file, {"descr": "<f4", "fortran_order": False, "shape": shape})
    file.write(bytes(40))
    file.seek(0)
    header = read_header(file)
    with pytest.raises(ValueError, match="it ends after 40 of "):
        read_numbers(file, header)


def test_a_folder_is_no_file(tmp_path):
    with pytest.raises(OSError, match="it is a folder, not a file"), npy_file(tmp_path):
        raise AssertionError
