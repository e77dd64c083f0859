// Ids made by the client, so that writes can refer to tasks created offline: UUIDv7, which sort by creation.

let last = 0

/** A new UUIDv7. Within one program each sorts after the one before, also within a millisecond. */
export const newId = (now = Date.now()): string => {
  // 12 bits below the millisecond: ids of a burst stay in order.
  last = Math.max(now * 4096, last + 1)
  const [ms, below] = [Math.floor(last / 4096), last % 4096]
  const random = crypto.getRandomValues(new Uint8Array(8))
  random[0] = (random[0]! & 0x3f) | 0x80
  const hex = ms.toString(16).padStart(12, '0')
  const tail = [...random].map((byte) => byte.toString(16).padStart(2, '0')).join('')
  const parts = [hex.slice(0, 8), hex.slice(8), `7${below.toString(16).padStart(3, '0')}`]
  return `${parts.join('-')}-${tail.slice(0, 4)}-${tail.slice(4)}`
}
