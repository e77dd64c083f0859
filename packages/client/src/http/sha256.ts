// SHA-256 (FIPS 180-4) of a stream: `crypto.subtle` hashes only what is whole in memory, and a direct upload may have 1 GiB.

const constants = new Uint32Array(64)
const initial = new Uint32Array(8)

/** The first 32 bits of the fractional parts of the roots of the first primes. */
const fractionOf = (root: number): number => Math.floor((root - Math.floor(root)) * 2 ** 32)

for (let candidate = 2, found = 0; found < 64; candidate += 1) {
  let isPrime = true
  for (let divisor = 2; divisor * divisor <= candidate; divisor += 1) isPrime &&= candidate % divisor !== 0
  if (!isPrime) continue
  constants[found] = fractionOf(Math.cbrt(candidate))
  if (found < 8) initial[found] = fractionOf(Math.sqrt(candidate))
  found += 1
}

export class Sha256 {
  readonly #state = initial.slice()
  readonly #block = new Uint8Array(64)
  readonly #words = new Uint32Array(64)
  #filled = 0
  #bytes = 0

  update(bytes: Uint8Array): void {
    this.#bytes += bytes.byteLength
    for (let at = 0; at < bytes.byteLength;) {
      const taken = Math.min(64 - this.#filled, bytes.byteLength - at)
      this.#block.set(bytes.subarray(at, at + taken), this.#filled)
      this.#filled += taken
      at += taken
      if (this.#filled === 64) this.#compress()
    }
  }

  /** In hexadecimal; the last call. */
  digest(): string {
    const bits = this.#bytes * 8
    const rest = (this.#filled + 9) % 64
    const padding = new Uint8Array(9 + (rest === 0 ? 0 : 64 - rest))
    padding[0] = 0x80
    const view = new DataView(padding.buffer)
    view.setUint32(padding.length - 8, Math.floor(bits / 2 ** 32))
    view.setUint32(padding.length - 4, bits % 2 ** 32)
    this.update(padding)
    return Array.from(this.#state, (word) => word.toString(16).padStart(8, '0')).join('')
  }

  #compress(): void {
    const [words, state, block] = [this.#words, this.#state, this.#block]
    for (let index = 0; index < 16; index += 1) {
      const at = index * 4
      words[index] = (block[at]! << 24) | (block[at + 1]! << 16) | (block[at + 2]! << 8) | block[at + 3]!
    }
    for (let index = 16; index < 64; index += 1) {
      const [w15, w2] = [words[index - 15]!, words[index - 2]!]
      const s0 = turned(w15, 7) ^ turned(w15, 18) ^ (w15 >>> 3)
      const s1 = turned(w2, 17) ^ turned(w2, 19) ^ (w2 >>> 10)
      words[index] = words[index - 16]! + s0 + words[index - 7]! + s1
    }
    let [a, b, c, d] = [state[0]!, state[1]!, state[2]!, state[3]!]
    let [e, f, g, h] = [state[4]!, state[5]!, state[6]!, state[7]!]
    for (let index = 0; index < 64; index += 1) {
      const s1 = turned(e, 6) ^ turned(e, 11) ^ turned(e, 25)
      const first = (h + s1 + ((e & f) ^ (~e & g)) + constants[index]! + words[index]!) | 0
      const s0 = turned(a, 2) ^ turned(a, 13) ^ turned(a, 22)
      const second = (s0 + ((a & b) ^ (a & c) ^ (b & c))) | 0
      h = g
      g = f
      f = e
      e = (d + first) | 0
      d = c
      c = b
      b = a
      a = (first + second) | 0
    }
    for (const [index, value] of [a, b, c, d, e, f, g, h].entries()) state[index] = state[index]! + value
    this.#filled = 0
  }
}

const turned = (word: number, by: number): number => (word >>> by) | (word << (32 - by))

/** Reads the file once, piece by piece. */
export const sha256Of = async (file: Blob, signal?: AbortSignal): Promise<string> => {
  const hash = new Sha256()
  const reader = file.stream().getReader()
  for (;;) {
    signal?.throwIfAborted()
    const { done, value } = await reader.read()
    if (done) return hash.digest()
    hash.update(value)
  }
}
