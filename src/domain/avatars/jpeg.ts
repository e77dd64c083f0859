// JPEG (ITU T.81): tables, frame and scans. Of the metadata the orientation stays, in a segment of our own, because
// without it pictures of phones lie on their side.
import { concat, nameAt, u16, u16le, u32, u32le, type Bytes, type Picture } from './bytes.ts'

const startOfImage = Uint8Array.of(0xff, 0xd8)
const endOfImage = Uint8Array.of(0xff, 0xd9)

/** Quantisation and Huffman tables, restart interval. */
const tables = new Set([0xdb, 0xc4, 0xdd])
/** Baseline, extended and progressive, with Huffman coding: what browsers show. */
const frames = new Set([0xc0, 0xc1, 0xc2])
const scan = 0xda
const comment = 0xfe
const adobe = 0xee
const exif = 0xe1

/** Progressive pictures have about ten; each costs a decoder a pass over all pixels. */
const maxScans = 50

export const plainJpeg = (bytes: Bytes): Picture | null => {
  if (bytes[0] !== 0xff || bytes[1] !== 0xd8 || bytes[2] !== 0xff) return null
  const kept: Bytes[] = []
  let size: { width: number; height: number } | null = null
  let orientation = 1
  let scans = 0
  for (let at = 2; at + 2 <= bytes.length;) {
    if (bytes[at] !== 0xff) return null
    const marker = bytes[at + 1]!
    if (marker === 0xff) {
      at += 1 // fill bytes
      continue
    }
    if (marker === 0xd9) {
      if (size === null || scans === 0) return null
      return {
        ...size,
        bytes: concat([startOfImage, ...orientationSegment(orientation), ...kept, endOfImage]),
      }
    }
    const length = u16(bytes, at + 2)
    if (length < 2 || at + 2 + length > bytes.length) return null
    const segment = bytes.subarray(at, at + 2 + length)
    at += 2 + length
    if (tables.has(marker)) kept.push(segment)
    else if (frames.has(marker)) {
      if (size !== null) return null
      size = sizeOf(segment)
      if (size === null) return null
      kept.push(segment)
    } else if (marker === scan) {
      const end = endOfScan(bytes, at)
      scans += 1
      if (size === null || end === null || end === at || scans > maxScans) return null
      kept.push(segment, bytes.subarray(at, end))
      at = end
    } else if (marker === adobe && nameAt(segment, 4, 5) === 'Adobe' && segment.length >= 16) {
      // How the colours are transformed: 12 bytes, without what may follow.
      kept.push(concat([Uint8Array.of(0xff, adobe, 0, 14), segment.subarray(4, 16)]))
    } else if (marker === exif) orientation = orientationOf(segment) ?? orientation
    else if ((marker & 0xf0) !== 0xe0 && marker !== comment) return null
  }
  return null
}

/** 8 bits a sample and 1, 3 or 4 components. */
const sizeOf = (segment: Bytes): { width: number; height: number } | null => {
  const components = segment[9] ?? 0
  const [height, width] = [u16(segment, 5), u16(segment, 7)]
  const isKnown = segment[4] === 8 && [1, 3, 4].includes(components) && segment.length === 10 + 3 * components
  return isKnown && width > 0 && height > 0 ? { width, height } : null
}

/** Where the next marker is that is neither a stuffed byte nor a restart; null where the data is cut off. */
const endOfScan = (bytes: Bytes, from: number): number | null => {
  for (let at = bytes.indexOf(0xff, from); at >= 0; at = bytes.indexOf(0xff, at + 2)) {
    const next = bytes[at + 1]
    if (next === undefined) return null
    if (next !== 0 && (next < 0xd0 || next > 0xd7)) return at
  }
  return null
}

/** 2 to 8, where an Exif segment says it; null otherwise. */
const orientationOf = (segment: Bytes): number | null => {
  if (nameAt(segment, 4, 6) !== 'Exif\0\0') return null
  const tiff = segment.subarray(10)
  const order = nameAt(tiff, 0, 4)
  if (order !== 'II*\0' && order !== 'MM\0*') return null
  const [short, long] = order === 'II*\0' ? [u16le, u32le] : [u16, u32]
  const directory = long(tiff, 4)
  const entries = Math.min(short(tiff, directory), 200)
  for (let entry = 0; entry < entries; entry += 1) {
    const at = directory + 2 + 12 * entry
    if (short(tiff, at) !== 0x0112) continue
    const value = short(tiff, at + 8)
    return short(tiff, at + 2) === 3 && value >= 2 && value <= 8 ? value : null
  }
  return null
}

/** An Exif segment with the orientation alone. */
const orientationSegment = (orientation: number): Bytes[] => {
  if (orientation === 1) return []
  const directory = [0, 1, 0x01, 0x12, 0, 3, 0, 0, 0, 1, 0, orientation, 0, 0, 0, 0, 0, 0]
  const tiff = [0x4d, 0x4d, 0, 0x2a, 0, 0, 0, 8, ...directory]
  const name = [0x45, 0x78, 0x69, 0x66, 0, 0]
  return [Uint8Array.from([0xff, exif, 0, 2 + name.length + tiff.length, ...name, ...tiff])]
}
