"""Provider logs to canonical tables: readers by format, privacy before storage, exactly once, all or nothing."""

from stillwatch.ingest.catalogue import READERS
from stillwatch.ingest.containers import Limits
from stillwatch.ingest.fieldmap import FieldMap, load_field_map
from stillwatch.ingest.identity import IdentityMap, load_identity
from stillwatch.ingest.networks import Networks, load_networks
from stillwatch.ingest.preview import Preview, preview
from stillwatch.ingest.privacy import Key, find_key
from stillwatch.ingest.reading import Options
from stillwatch.ingest.report import IngestReport
from stillwatch.ingest.run import ingest

__all__ = [
    "READERS",
    "FieldMap",
    "IdentityMap",
    "IngestReport",
    "Key",
    "Limits",
    "Networks",
    "Options",
    "Preview",
    "find_key",
    "ingest",
    "load_field_map",
    "load_identity",
    "load_networks",
    "preview",
]
