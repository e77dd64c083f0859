// Images for tests: made here where the format is simple, read from files where it is not. `gradient.jpg` and
// `gradient.webp` are 24 x 16 pixels of a canvas in Chromium, with a colour profile; the WebP has transparency.
import { join } from 'node:path'
import { deflateSync } from 'node:zlib'

export type Bytes = Uint8Array<ArrayBuffer>

const file = async (name: string): Promise<Bytes> =>
  new Uint8Array(await Bun.file(join(import.meta.dir, '..', 'data', 'images', name)).arrayBuffer())

export const jpeg = (): Promise<Bytes> => file('gradient.jpg')
export const webp = (): Promise<Bytes> => file('gradient.webp')

export const join8 = (...parts: (Uint8Array | number[] | string)[]): Bytes =>
  new Uint8Array(
    Buffer.concat(
      parts.map((part) => (typeof part === 'string' ? Buffer.from(part, 'latin1') : Buffer.from(part))),
    ),
  )

const uint32 = (value: number): number[] => [
  value >>> 24,
  (value >>> 16) & 255,
  (value >>> 8) & 255,
  value & 255,
]

/** A chunk of a PNG with its checksum. */
export const pngChunk = (type: string, content: Uint8Array | number[] | string): Bytes => {
  const body = join8(type, content)
  return join8(uint32(body.length - 4), body, uint32(Bun.hash.crc32(body)))
}

export const pngSignature = [0x89, 0x50, 0x4e, 0x47, 0x0d, 0x0a, 0x1a, 0x0a]

interface PngOptions {
  /** Bits and colour type; RGBA by default. */
  depth?: number
  type?: number
  isInterlaced?: boolean
  /** Inflated pixel data; black by default. */
  data?: Uint8Array
  /** Chunks between header and pixels. */
  more?: Bytes[]
}

/** A PNG of one colour. */
export const png = (
  width: number,
  height: number,
  { depth = 8, type = 6, isInterlaced = false, data, more = [] }: PngOptions = {},
): Bytes => {
  const samples = [1, 0, 3, 1, 2, 0, 4][type]!
  const raw = data ?? new Uint8Array(height * (1 + Math.ceil((width * samples * depth) / 8)))
  return join8(
    pngSignature,
    pngChunk('IHDR', [...uint32(width), ...uint32(height), depth, type, 0, 0, isInterlaced ? 1 : 0]),
    ...more,
    pngChunk('IDAT', deflateSync(raw)),
    pngChunk('IEND', []),
  )
}

/** A GIF of one black pixel, with what stands before and behind the frame. */
export const gif = (before: number[] = [], behind: number[] = []): Bytes =>
  join8(
    'GIF89a',
    [1, 0, 1, 0, 0x80, 0, 0, 0, 0, 0, 255, 255, 255],
    before,
    [0x2c, 0, 0, 0, 0, 1, 0, 1, 0, 0, 2, 2, 0x44, 1, 0],
    behind,
    [0x3b],
  )
