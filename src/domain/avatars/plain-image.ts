// Images that people upload as their pictures, reduced to what shows the picture. Invariant: what is stored is built
// here from the parts of the format that a decoder needs; everything else (positions, cameras, thumbnails, comments,
// colour profiles, further frames, whatever follows the end) is left out, and what is malformed is refused.
//
// The problem: a picture may carry where it was taken, a script, another file behind its end, or a few kilobytes that
// decode to gigabytes. The usual way, decoding and encoding again, needs a codec for each format: as native binaries that
// npm fetches at install time, or as megabytes of WebAssembly, and gives every upload the attack surface of a decoder. The
// way chosen: the containers of the four formats are simple, so they are parsed strictly and written again with their
// pixel data as it is. PNG data is inflated once to see that it is exactly the pixels and nothing else; the entropy coded
// data of the others is opaque, and is served as an image, never as anything else (nosniff, attachment).
import type { Bytes, Picture } from './bytes.ts'
import { plainGif } from './gif.ts'
import { plainJpeg } from './jpeg.ts'
import { plainPng } from './png.ts'
import { plainWebp } from './webp.ts'

export type ImageType = 'image/png' | 'image/jpeg' | 'image/gif' | 'image/webp'

export interface PlainImage extends Picture {
  contentType: ImageType
}

const formats: [ImageType, (bytes: Bytes) => Picture | null | Promise<Picture | null>][] = [
  ['image/png', plainPng],
  ['image/jpeg', plainJpeg],
  ['image/gif', plainGif],
  ['image/webp', plainWebp],
]

/** Null for what is no well-formed image of these formats. Its sides are not compared with `maxSide`. */
export const plainImage = async (bytes: Bytes): Promise<PlainImage | null> => {
  for (const [contentType, plain] of formats) {
    const picture = await plain(bytes)
    if (picture) return { ...picture, contentType }
  }
  return null
}
