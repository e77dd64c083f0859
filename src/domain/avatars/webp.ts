// WebP (RFC 9649): the image, and its transparency. Animations are refused.
import { concat, nameAt, u16le, u24le, u32le, type Bytes, type Picture } from './bytes.ts'

interface Chunks {
  /** `VP8X`: what else there is. */
  extended: Bytes | null
  /** `ALPH` */
  alpha: Bytes | null
  /** `VP8 ` or `VP8L` */
  image: { name: string; content: Bytes } | null
}

export const plainWebp = (bytes: Bytes): Picture | null => {
  if (nameAt(bytes, 0) !== 'RIFF' || nameAt(bytes, 8) !== 'WEBP') return null
  const chunks = chunksOf(bytes, 8 + u32le(bytes, 4))
  if (!chunks?.image) return null
  const { extended, alpha, image } = chunks
  const size = image.name === 'VP8L' ? losslessSize(image.content) : lossySize(image.content)
  if (size === null || !fitsCanvas(extended, size)) return null
  const hasAlpha = alpha !== null && extended !== null && image.name === 'VP8 '
  const kept = hasAlpha
    ? [chunk('VP8X', canvas(size)), chunk('ALPH', alpha), chunk(image.name, image.content)]
    : [chunk(image.name, image.content)]
  const content = concat([ascii('WEBP'), ...kept])
  return { ...size, bytes: concat([ascii('RIFF'), uint32le(content.byteLength), content]) }
}

/** Null where a chunk is cut off, repeated or of an animation. */
const chunksOf = (bytes: Bytes, end: number): Chunks | null => {
  if (end > bytes.length) return null
  const found: Chunks = { extended: null, alpha: null, image: null }
  for (let at = 12; at < end;) {
    const name = nameAt(bytes, at)
    const length = u32le(bytes, at + 4)
    if (at + 8 + length > end) return null
    const content = bytes.subarray(at + 8, at + 8 + length)
    at += 8 + length + (length % 2)
    if (name === 'VP8X' && found.extended === null && length === 10) found.extended = content
    else if (name === 'ALPH' && found.alpha === null) found.alpha = content
    else if ((name === 'VP8 ' || name === 'VP8L') && found.image === null) found.image = { name, content }
    else if (/^(?:VP8.|ALPH|ANIM|ANMF)$/.test(name)) return null
  }
  return found
}

type Size = Pick<Picture, 'width' | 'height'>

/** Of a key frame that is shown. */
const lossySize = (content: Bytes): Size | null => {
  const isKeyFrame = ((content[0] ?? 1) & 1) === 0
  if (content.length < 11 || !isKeyFrame || nameAt(content, 3, 3) !== '\u009d\u0001\u002a') return null
  const [width, height] = [u16le(content, 6) & 0x3fff, u16le(content, 8) & 0x3fff]
  return width > 0 && height > 0 ? { width, height } : null
}

const losslessSize = (content: Bytes): Size | null => {
  if (content.length < 6 || content[0] !== 0x2f || content[4]! >> 5 !== 0) return null
  const bits = u32le(content, 1)
  return { width: (bits & 0x3fff) + 1, height: ((bits >>> 14) & 0x3fff) + 1 }
}

const fitsCanvas = (extended: Bytes | null, { width, height }: Size): boolean =>
  extended === null || (u24le(extended, 4) + 1 === width && u24le(extended, 7) + 1 === height)

/** `VP8X` with transparency alone. */
const canvas = ({ width, height }: Size): Bytes =>
  Uint8Array.from([
    0x10,
    0,
    0,
    0,
    ...uint32le(width - 1).subarray(0, 3),
    ...uint32le(height - 1).subarray(0, 3),
  ])

const ascii = (text: string): Bytes => Uint8Array.from(text, (character) => character.charCodeAt(0))

const uint32le = (value: number): Bytes =>
  Uint8Array.of(value & 0xff, (value >>> 8) & 0xff, (value >>> 16) & 0xff, value >>> 24)

const chunk = (name: string, content: Bytes): Bytes =>
  concat([ascii(name), uint32le(content.byteLength), content, new Uint8Array(content.byteLength % 2)])
