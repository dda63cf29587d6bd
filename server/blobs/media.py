"""What bytes are, by their own first words: the client's word for it counts for nothing.

Only what every browser shows without running anything is taken. SVG, HTML and PDF are not.
"""

HEAD_BYTES = 64
AUDIO_BRANDS = frozenset({b"M4A ", b"M4B ", b"mp41", b"mp42", b"isom", b"iso2", b"iso4", b"iso5", b"iso6", b"dash"})


def media_type_of(head: bytes) -> str | None:
    """The media type of bytes that begin with these `HEAD_BYTES`; None for what we do not take."""
    if head.startswith(b"\xff\xd8\xff"):
        return "image/jpeg"
    if head.startswith(b"\x89PNG\r\n\x1a\n"):
        return "image/png"
    if head[:4] == b"RIFF" and head[8:12] == b"WEBP":
        return "image/webp"
    if head.startswith(b"\x1a\x45\xdf\xa3") and b"webm" in head:
        return "audio/webm"
    if head[4:8] == b"ftyp" and head[8:12] in AUDIO_BRANDS:
        return "audio/mp4"
    if head.startswith(b"OggS"):
        return "audio/ogg"
    return None
