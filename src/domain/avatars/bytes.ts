// An image as bytes, and reading numbers and names from it. Past the end everything is 0, so that a truncated file fails the
// comparisons that follow instead of throwing.

export type Bytes = Uint8Array<ArrayBuffer>

export interface Picture {
  width: number
  height: number
  bytes: Bytes
}

/** Decoded, 4,096 x 4,096 pixels are 64 MiB on every device that shows the picture. */
export const maxSide = 4096

export const u16 = (bytes: Bytes, at: number): number => ((bytes[at] ?? 0) << 8) | (bytes[at + 1] ?? 0)

export const u16le = (bytes: Bytes, at: number): number => (bytes[at] ?? 0) | ((bytes[at + 1] ?? 0) << 8)

export const u32 = (bytes: Bytes, at: number): number => u16(bytes, at) * 0x10000 + u16(bytes, at + 2)

export const u24le = (bytes: Bytes, at: number): number => u16le(bytes, at) | ((bytes[at + 2] ?? 0) << 16)

export const u32le = (bytes: Bytes, at: number): number => u16le(bytes, at) + u16le(bytes, at + 2) * 0x10000

/** ASCII text of `length` bytes. */
export const nameAt = (bytes: Bytes, at: number, length = 4): string =>
  String.fromCharCode(...bytes.subarray(at, at + length))

export const concat = (parts: readonly Bytes[]): Bytes => {
  const joined = new Uint8Array(parts.reduce((size, part) => size + part.byteLength, 0))
  let at = 0
  for (const part of parts) {
    joined.set(part, at)
    at += part.byteLength
  }
  return joined
}
