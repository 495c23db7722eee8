"""The index room: vectors are the truth, in checksummed files; usearch segments are views of them."""

# onnxruntime crashes while it is loaded into a process that has usearch: usearch 2.26 brings a C++ library of its own
# and exports its symbols, which the one onnxruntime needs then takes for its own. The other order is safe.
import crossfade.encoder  # noqa: F401
from crossfade.index.blocks import NO_KEY, Block
from crossfade.index.copies import copy_segment, copy_vectors, rewrite
from crossfade.index.files import new_id, try_lock
from crossfade.index.locations import Locations, RowRange
from crossfade.index.opened import OpenSegment, Verified
from crossfade.index.scan import Scan, scan
from crossfade.index.segment import Base, SegmentInfo, build_segment, segment_path, temporary_path
from crossfade.index.vectors import FileExtent, FilePair, NewRows, VectorFile
from crossfade.index.version import VersionIndex
from crossfade.index.writer import VectorWriter, is_owned

__all__ = [
    "NO_KEY",
    "Base",
    "Block",
    "FileExtent",
    "FilePair",
    "Locations",
    "NewRows",
    "OpenSegment",
    "RowRange",
    "Scan",
    "SegmentInfo",
    "VectorFile",
    "VectorWriter",
    "Verified",
    "VersionIndex",
    "build_segment",
    "copy_segment",
    "copy_vectors",
    "is_owned",
    "new_id",
    "rewrite",
    "scan",
    "segment_path",
    "temporary_path",
    "try_lock",
]
