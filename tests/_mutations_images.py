# SPDX-License-Identifier: BSD-3-Clause
"""Image files of many formats, damage done to them, and what reading one may end in."""

import io
import struct
import zlib

import numpy as np
import tifffile
from _mutations import ANYWHERE, NUMBERS, splice, violation
from PIL import Image, PngImagePlugin

from skpatch.images.collection import check_images

HEIGHT, WIDTH = 61, 83
_SIDES = (*NUMBERS[:12], 9_000, 14_000, 60_000)
_PNG_START = b"\x89PNG\r\n\x1a\n"


def image_files():
    """Sound files: a dict from the name of a format to a list of bytes."""
    pixels = np.random.RandomState(0).randint(0, 256, (HEIGHT, WIDTH, 4)).astype(np.uint8)
    pixels[20:40, 20:40] = 7
    rgba = Image.fromarray(pixels)
    rgb, grey = rgba.convert("RGB"), rgba.convert("L")
    sixteen = Image.fromarray(pixels[:, :, 0].astype(np.uint16) * 257)
    palette, black = rgb.quantize(50), grey.convert("1")
    floats = Image.fromarray(pixels[:, :, 0].astype(np.float32))
    exif = Image.Exif()
    exif[0x0112] = 6
    return {
        "PNG": [
            *(_encoded(one, "PNG") for one in (black, grey, rgb, rgba, sixteen, palette)),
            _encoded(rgba.convert("LA"), "PNG"),
            _encoded(palette, "PNG", transparency=3),
            _encoded(rgb.quantize(3), "PNG", bits=2),
            _encoded(rgb, "PNG", exif=exif, icc_profile=bytes(200), pnginfo=_texts()),
            _encoded_thrice(rgb, "PNG"),
        ],
        "JPEG": [
            *(_encoded(one, "JPEG") for one in (grey, rgb, rgb.convert("CMYK"))),
            _encoded(rgb, "JPEG", progressive=True, subsampling=0),
            _encoded(rgb, "JPEG", exif=exif, icc_profile=bytes(200), comment=b"cell"),
            _encoded_thrice(rgb, "MPO"),
        ],
        "TIFF": [
            *(_encoded(one, "TIFF") for one in (black, grey, rgb, rgba, sixteen, floats, palette)),
            _encoded(rgb, "TIFF", exif=exif),
            _encoded_thrice(rgb, "TIFF"),
            _encoded(sixteen, "TIFF", compression="tiff_lzw"),
            _encoded(rgb, "TIFF", compression="tiff_lzw"),
            _encoded(rgb, "TIFF", compression="tiff_adobe_deflate"),
            _encoded(rgb, "TIFF", compression="jpeg"),
            _encoded(grey, "TIFF", compression="packbits"),
            _encoded(black, "TIFF", compression="group4"),
        ],
        "deep TIFF": [_deep_tiff(pixels, **options) for options in _DEEP],
        "JPEG 2000": [
            *(_encoded(one, "JPEG2000") for one in (grey, rgb, rgba, sixteen)),
            _encoded(rgb, "JPEG2000", no_jp2=True),
        ],
        "BMP": [_encoded(one, "BMP") for one in (black, grey, rgb, rgba, palette)],
        "WebP": [
            *(_encoded(one, "WEBP") for one in (rgb, rgba)),
            _encoded(rgb, "WEBP", lossless=True),
            _encoded(rgb, "WEBP", exif=exif, icc_profile=bytes(200)),
            _encoded_thrice(rgb, "WEBP"),
        ],
        "GIF": [
            _encoded(palette, "GIF"),
            _encoded(palette, "GIF", transparency=3, interlace=0),
            _encoded_thrice(rgb, "GIF"),
        ],
        "PPM": [
            *(_encoded(one, "PPM") for one in (black, grey, rgb, sixteen, floats)),
            f"P2\n{WIDTH} {HEIGHT}\n255\n{' '.join(map(str, pixels[:, :, 0].flat))}\n".encode(),
        ],
    }


def _encoded(image, kind, **options):
    file = io.BytesIO()
    # A copy, since saving leaves settings of the format in the image.
    image.copy().save(file, kind, **options)
    return file.getvalue()


# Kinds of TIFF files that tifffile reads, not Pillow.
_DEEP = [
    {"dtype": dtype, "photometric": photometric, "compression": compression, **options}
    for dtype, photometric, compression, options in [
        ("uint16", "rgb", None, {}),
        ("uint16", "rgb", "zlib", {"predictor": True, "byteorder": ">"}),
        ("uint16", "rgb", "zlib", {"tile": (16, 32)}),
        ("uint16", "miniswhite", None, {"bigtiff": True}),
        ("float32", "rgb", None, {"planarconfig": "separate", "rowsperstrip": 7}),
        ("float64", "minisblack", "zlib", {"rowsperstrip": 20}),
        ("uint8", "rgb", "packbits", {"predictor": True}),
        ("uint16", "rgb", "lzw", {"predictor": True}),
        ("float16", "rgb", "zstd", {"predictor": True}),
        ("int32", "miniswhite", "packbits", {}),
    ]
    if compression in (None, "zlib") or tifffile.tifffile.imagecodecs.__name__ == "imagecodecs"
]


def _deep_tiff(pixels, dtype, photometric, **options):
    values = pixels[:, :, :3] if photometric == "rgb" else pixels[:, :, 0]
    if options.get("planarconfig") == "separate":
        values = np.moveaxis(values, 2, 0)
    file = io.BytesIO()
    tifffile.imwrite(file, values.astype(dtype), photometric=photometric, **options)
    return file.getvalue()


def _encoded_thrice(image, kind):
    """A file of three images."""
    turned = [image.rotate(angle) for angle in (90, 180)]
    return _encoded(image, kind, save_all=True, append_images=turned)


def _texts():
    texts = PngImagePlugin.PngInfo()
    texts.add_text("camera", "left")
    texts.add_text("line", "3" * 300, zip=True)
    texts.add_itxt("XML:com.adobe.xmp", "<x/>" * 50, zip=True)
    return texts


def damaged_image(files, kind, rng):
    """One of the files of a kind, damaged once or a few times."""
    data = rng.choice(files[kind])
    own = [edit_sides] * 2 + ([edit_chunks, zlib_bomb] * 2 if kind == "PNG" else [])
    own += [edit_tag] * 8 * kind.endswith("TIFF")
    for _ in range(rng.choice((1, 1, 1, 2, 4))):
        if not data:
            break
        if rng.random() < 0.1:
            data = splice(data, rng.choice(files[rng.choice(list(files))]), rng)
        else:
            data = rng.choice((*ANYWHERE, *own))(data, rng)
    return data


def edit_sides(data, rng):
    """Another width or height in the header, mostly of the size of a decompression bomb."""
    places = []
    for side in (WIDTH, HEIGHT):
        for code in ("<I", ">I", "<H", ">H"):
            places.append((data.find(struct.pack(code, side)), code))
        places.append((data.find(str(side).encode()), None))
    places = [(start, code) for start, code in places if 0 <= start < 512]
    if not places:
        return data
    start, code = rng.choice(places)
    side = rng.choice(_SIDES)
    if code is None:
        return data[:start] + str(side).encode() + data[start + 2 :]
    size = struct.calcsize(code)
    side = struct.pack(code, side & (256**size - 1))
    return _sealed(data[:start] + side + data[start + size :])


def _sealed(data):
    """A PNG file with the right checksum of its header; any other as it is."""
    if not data.startswith(_PNG_START) or len(data) < 33:
        return data
    return data[:29] + struct.pack(">I", zlib.crc32(data[12:29])) + data[33:]


def edit_chunks(data, rng):
    """A chunk of a PNG file twice, left out, moved or damaged, with the right checksum."""
    chunks = _chunks(data)
    if not chunks:
        return data
    index = rng.randrange(len(chunks))
    kind, content = chunks[index]
    action = rng.choice(("twice", "without", "moved", "damaged", "pixels", "emptied"))
    if action == "without":
        del chunks[index]
    elif action == "moved":
        chunks.insert(rng.randrange(len(chunks)), chunks.pop(index))
    elif action == "damaged" and content:
        chunks[index] = kind, rng.choice(ANYWHERE)(content, rng)
    elif action == "emptied":
        chunks[index] = kind, b""
    elif action == "pixels":
        _damage_pixels(chunks, rng)
    else:
        chunks.insert(index, chunks[index])
    return _joined(chunks)


def _damage_pixels(chunks, rng):
    """Damage what is compressed in the pixel chunks."""
    for index, (kind, content) in enumerate(chunks):
        if kind == b"IDAT":
            try:
                pixels = zlib.decompress(content)
            except zlib.error:
                continue
            chunks[index] = kind, zlib.compress(rng.choice(ANYWHERE)(pixels, rng), 1)


def edit_tag(data, rng):
    """Another number, type, count or value in an entry of the first directory of a TIFF file."""
    if len(data) < 16:
        return data
    order = "<" if data[:2] == b"II" else ">"
    is_big = data[2:4] in (b"+\0", b"\0+")
    offset, entry, step = (16, "HHQQ", 20) if is_big else (8, "HHII", 12)
    (start,) = struct.unpack(order + ("Q" if is_big else "I"), data[offset // 2 : offset])
    first = start + (8 if is_big else 2)
    index = first + step * rng.randrange(20)
    if index + step > len(data):
        return data
    values = list(struct.unpack_from(order + entry, data, index))
    place = rng.randrange(4)
    # Tags from 254 to 339 say how pixels are stored; places near the directory make loops.
    near = (rng.randrange(254, 340), rng.randrange(20), start, index, len(data))
    largest = 256 ** struct.calcsize(order + entry[place]) - 1
    values[place] = rng.choice((*NUMBERS, *near)) & largest
    changed = struct.pack(order + entry, *values)
    return data[:index] + changed + data[index + step :]


def zlib_bomb(data, rng):
    """A PNG file with a small chunk that decompresses to megabytes."""
    chunks = _chunks(data)
    bomb = _BOMBS[rng.randrange(len(_BOMBS))]
    keyword = rng.choice((b"a", b"exif", b"Raw profile type exif", b"XML:com.adobe.xmp"))
    content = {
        b"zTXt": keyword + b"\0\0" + bomb,
        b"iCCP": keyword + b"\0\0" + bomb,
        b"iTXt": keyword + b"\0\1\0\0\0" + bomb,
    }
    kind = rng.choice(list(content))
    for _ in range(rng.choice((1, 1, 100))):
        chunks.insert(1, (kind, content[kind]))
    return _joined(chunks)


_BOMBS = [zlib.compress(bytes(size), 9) for size in (2**16, 2**20 + 1, 2**25)]


def _chunks(data):
    """Kinds and contents of the chunks of a PNG file as far as they are complete."""
    chunks, start = [], len(_PNG_START)
    while start + 8 <= len(data):
        length, kind = struct.unpack(">I4s", data[start : start + 8])
        if start + 12 + length > len(data):
            break
        chunks.append((kind, data[start + 8 : start + 8 + length]))
        start += 12 + length
    return chunks


def _joined(chunks):
    return _PNG_START + b"".join(
        struct.pack(">I", len(content))
        + kind
        + content
        + struct.pack(">I", zlib.crc32(kind + content))
        for kind, content in chunks
    )


def read_damaged_image(path):
    """Read a file as the extractor does: size first.

    Returns the named error that it ended in, None after a result.
    """
    images = check_images([path])
    size = None
    try:
        size = images.size(0)
        pixels = images.load(0)
    except (OSError, ValueError, TypeError, MemoryError) as error:
        violation(str(path) not in str(error), f"the error does not name the file: {error}")
        _check_error(error, size)
        return error
    violation(pixels.dtype != np.uint8 or pixels.ndim != 3, f"{pixels.dtype} {pixels.shape}")
    violation(pixels.shape != (*size, 3), f"pixels are {pixels.shape}, and the size is {size}")
    return None


def _check_error(error, size):
    violation(str(error).rstrip().endswith(":"), f"the error gives no reason: {error}")
    if size is not None:
        sides_are_numbers = all(isinstance(side, int) and side >= 0 for side in size)
        violation(not sides_are_numbers, f"the size is {size}")
