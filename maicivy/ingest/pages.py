"""Which addresses are pages of a site, as far as views are counted."""

from __future__ import annotations

import re

# Pages at and under these addresses are the program's own and no visitor's.
UNTRACKED = re.compile(r"/(?:api|ws|static)/|/(?:metrics|health|dashboard)(?:/|$)")

# What the last part of a path ends with when no person reads it as a page.
_ASSETS = """
    7z aac apk asc atom avi avif bin bmp bz2 cjs css csv deb dmg doc docx eot epub exe flac gif gz
    heic ico ics iso jar jpeg jpg js json jsonld jxl less m3u8 m4a m4v map md5 mjs mkv mov mp3 mp4
    mpeg msi odp ods odt oga ogg ogv opus otf pdf png ppt pptx rar rpm rss scss sha256 sig srt svg
    svgz swf tar tgz tif tiff ts tsv ttf txt vcf vtt wasm wav webm webmanifest webp woff woff2 xls
    xlsx xml xz zip zst
"""
_ASSET_ENDINGS = frozenset(_ASSETS.split())


def is_asset(path: str) -> bool:
    """Say whether a path is that of a part of a page, a feed or a download, by its ending."""
    name = path.rpartition("/")[2]
    return "." in name and name.rpartition(".")[2].lower() in _ASSET_ENDINGS
