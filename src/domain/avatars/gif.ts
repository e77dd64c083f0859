// GIF: the screen, its colours and the first frame. A picture of a person does not move, and frames are what makes a GIF
// that decodes to gigabytes.
import { concat, nameAt, u16le, type Bytes, type Picture } from './bytes.ts'

const extension = 0x21
const graphicControl = 0xf9
const imageDescriptor = 0x2c
const trailer = Uint8Array.of(0x3b)

const coloursOf = (packed: number): number => (packed & 0x80 ? 6 << (packed & 7) : 0)

export const plainGif = (bytes: Bytes): Picture | null => {
  if (!/^GIF8[79]a$/.test(nameAt(bytes, 0, 6)) || bytes.length < 13) return null
  const [width, height] = [u16le(bytes, 6), u16le(bytes, 8)]
  const screenEnd = 13 + coloursOf(bytes[10]!)
  const kept = [bytes.subarray(0, screenEnd)]
  for (let at = screenEnd; at < bytes.length;) {
    if (bytes[at] === extension) {
      const end = endOfBlocks(bytes, at + 2)
      if (end === null) return null
      // Transparency, of the frame that follows.
      if (bytes[at + 1] === graphicControl && end - at === 8) kept.splice(1, 1, bytes.subarray(at, end))
      at = end
    } else if (bytes[at] === imageDescriptor) {
      const [left, top] = [u16le(bytes, at + 1), u16le(bytes, at + 3)]
      const [columns, rows] = [u16le(bytes, at + 5), u16le(bytes, at + 7)]
      const dataAt = at + 10 + coloursOf(bytes[at + 9] ?? 0)
      const codeSize = bytes[dataAt] ?? 0
      const end = endOfBlocks(bytes, dataAt + 1)
      const isInside = columns > 0 && rows > 0 && left + columns <= width && top + rows <= height
      if (end === null || end === dataAt + 2 || !isInside || codeSize < 2 || codeSize > 8) return null
      return { width, height, bytes: concat([...kept, bytes.subarray(at, end), trailer]) }
    } else return null
  }
  return null
}

/** Behind the empty block that ends a row of blocks; null where they are cut off. */
const endOfBlocks = (bytes: Bytes, from: number): number | null => {
  let at = from
  for (; at < bytes.length; at += 1 + bytes[at]!) if (bytes[at] === 0) return at + 1
  return null
}
