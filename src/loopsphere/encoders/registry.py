"""The encoders that have a name."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class EncoderRecord:
    """One named encoder.

    Attributes
    ----------
    name : str
        As `--encoder` takes it.
    source : str
        'bundled', a Hugging Face repository, or a file in one (`owner/repository/file.pt`).
    embedding_dim : int
    fused : bool
        Whether clips longer than the window go through feature fusion; others average their windows.
    licence : str
        Of the weights, as their publisher states it.
    size_mb : int
        Size of the download, roughly; 0 where there is none.
    note : str
    """

    name: str
    source: str
    embedding_dim: int
    fused: bool
    licence: str
    size_mb: int
    note: str


_RECORDS = (
    EncoderRecord(
        "bundled", "bundled", 512, True, "Apache-2.0", 0, "HTS-AT trained on loops, and YAMNet; offline"
    ),
    EncoderRecord(
        "clap-htsat-fused", "laion/clap-htsat-fused", 768, True, "Apache-2.0", 615, "CLAP, HTSAT-tiny"
    ),
    EncoderRecord(
        "clap-htsat-unfused", "laion/clap-htsat-unfused", 768, False, "Apache-2.0", 615, "CLAP, HTSAT-tiny"
    ),
    EncoderRecord(
        "larger-clap-music",
        "laion/larger_clap_music",
        1024,
        False,
        "Apache-2.0",
        780,
        "CLAP for music, HTSAT-base",
    ),
    EncoderRecord(
        "larger-clap-general", "laion/larger_clap_general", 1024, False, "Apache-2.0", 780, "CLAP, HTSAT-base"
    ),
    EncoderRecord(
        "laion-630k-fusion",
        "lukewys/laion_clap/630k-audioset-fusion-best.pt",
        768,
        True,
        "CC0-1.0",
        1860,
        "LAION's own file, HTSAT-tiny",
    ),
    EncoderRecord(
        "laion-music",
        "lukewys/laion_clap/music_audioset_epoch_15_esc_90.14.pt",
        1024,
        False,
        "CC0-1.0",
        2350,
        "LAION's own file for music, HTSAT-base",
    ),
)
ENCODERS = {record.name: record for record in _RECORDS}
