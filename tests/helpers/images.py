"""The source of image files, and all of its tiles."""

from pipeline.sources import images, jpeg, kinds

READER_OF = {"images": images.READER, "jpeg": jpeg.READER}


def resolve(path, *sizes, **parameters):
    entry = {"kind": "images", "path": str(path), **parameters}
    [source] = kinds.resolve("images", entry, sizes or (8,))
    return source


def draw(source, size=8):
    return kinds.draw(source, 0, size, 0, source.available[size])
