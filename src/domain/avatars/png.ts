// PNG (RFC 2083): the header, palette, transparency and pixel data; every checksum is compared, and the pixel data must
// inflate to exactly the bytes of the picture.
import { createInflate } from 'node:zlib'
import { concat, maxSide, nameAt, u32, type Bytes, type Picture } from './bytes.ts'

const signature = Uint8Array.of(0x89, 0x50, 0x4e, 0x47, 0x0d, 0x0a, 0x1a, 0x0a)

interface Header {
  width: number
  height: number
  bitsPerPixel: number
  hasPalette: boolean
  isInterlaced: boolean
}

/** By colour type: samples a pixel, and the allowed bits of each. */
const colourTypes: Record<number, { samples: number; depths: number[] }> = {
  0: { samples: 1, depths: [1, 2, 4, 8, 16] },
  2: { samples: 3, depths: [8, 16] },
  3: { samples: 1, depths: [1, 2, 4, 8] },
  4: { samples: 2, depths: [8, 16] },
  6: { samples: 4, depths: [8, 16] },
}

export const plainPng = async (bytes: Bytes): Promise<Picture | null> => {
  if (!signature.every((byte, index) => bytes[index] === byte)) return null
  const kept: Bytes[] = [signature]
  const pixels: Bytes[] = []
  let header: Header | null = null
  let hasPalette = false
  for (let at = signature.length; at + 12 <= bytes.length;) {
    const length = u32(bytes, at)
    if (length > bytes.length - at - 12) return null
    const type = nameAt(bytes, at + 4)
    const content = bytes.subarray(at + 8, at + 8 + length)
    const end = at + 12 + length
    if (Bun.hash.crc32(bytes.subarray(at + 4, end - 4)) !== u32(bytes, end - 4)) return null
    const chunk = bytes.subarray(at, end)
    at = end
    if (header === null) {
      header = type === 'IHDR' ? headerOf(content) : null
      if (header === null) return null
      kept.push(chunk)
    } else if (type === 'PLTE') {
      if (hasPalette || pixels.length > 0 || length === 0 || length % 3 > 0 || length > 768) return null
      hasPalette = true
      kept.push(chunk)
    } else if (type === 'tRNS') {
      if (pixels.length > 0 || length === 0 || length > 256) return null
      kept.push(chunk)
    } else if (type === 'IDAT') {
      pixels.push(content)
      kept.push(chunk)
    } else if (type === 'IEND') {
      const { width, height } = header
      kept.push(chunk)
      const isWhole = length === 0 && (hasPalette || !header.hasPalette) && (await inflatesTo(header, pixels))
      return isWhole ? { width, height, bytes: concat(kept) } : null
    } else if (/^[A-Z]/.test(type)) return null // critical, and unknown
  }
  return null
}

const headerOf = (content: Bytes): Header | null => {
  if (content.length !== 13) return null
  const [width, height] = [u32(content, 0), u32(content, 4)]
  const [depth = 0, type = 0, compression, filter, interlace = 0] = content.subarray(8)
  const colours = colourTypes[type]
  if (width === 0 || height === 0 || !colours?.depths.includes(depth)) return null
  if (compression !== 0 || filter !== 0 || interlace > 1) return null
  return {
    width,
    height,
    bitsPerPixel: colours.samples * depth,
    hasPalette: type === 3,
    isInterlaced: interlace === 1,
  }
}

/** First column and row, and steps, of the seven passes of an interlaced picture. */
const passes = [
  [0, 0, 8, 8],
  [4, 0, 8, 8],
  [0, 4, 4, 8],
  [2, 0, 4, 4],
  [0, 2, 2, 4],
  [1, 0, 2, 2],
  [0, 1, 1, 2],
] as const

/** Bytes of the inflated data: each row begins with a byte that names its filter. */
const dataSize = ({ width, height, bitsPerPixel, isInterlaced }: Header): number => {
  const sizeOf = (columns: number, rows: number): number =>
    columns > 0 && rows > 0 ? rows * (1 + Math.ceil((columns * bitsPerPixel) / 8)) : 0
  if (!isInterlaced) return sizeOf(width, height)
  return passes.reduce(
    (sum, [x, y, stepX, stepY]) =>
      sum + sizeOf(Math.ceil((width - x) / stepX), Math.ceil((height - y) / stepY)),
    0,
  )
}

/** Inflates without keeping anything, and no more than the picture has. */
const inflatesTo = (header: Header, pixels: Bytes[]): Promise<boolean> => {
  if (header.width > maxSide || header.height > maxSide) return Promise.resolve(true) // refused for its size
  const expected = dataSize(header)
  const total = pixels.reduce((sum, part) => sum + part.byteLength, 0)
  const { promise, resolve } = Promise.withResolvers<boolean>()
  const inflate = createInflate()
  let size = 0
  inflate.on('data', (chunk: Uint8Array) => {
    size += chunk.byteLength
    if (size <= expected) return
    resolve(false)
    inflate.destroy()
  })
  inflate.on('end', () => resolve(size === expected && inflate.bytesWritten === total))
  inflate.on('error', () => resolve(false))
  for (const part of pixels) inflate.write(part)
  inflate.end()
  return promise
}
