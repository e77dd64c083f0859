// The syntax of multipart/form-data (RFC 7578, 2046), one chunk after another. Invariant: content is passed on as slices
// of the chunk and never collected; what is collected (headers, a piece that may begin a delimiter) is bounded.
import { AppError } from '../../errors.ts'
import { release } from './chunks.ts'

export interface PartHeaders {
  name: string
  /** Null for a field that is no file. */
  filename: string | null
}

export interface PartEvents {
  /** May throw to end the reading. */
  onPart(headers: PartHeaders): void
  /** A piece of the content of the present part; valid only during the call. */
  onContent(bytes: Uint8Array): void
}

const maxHeaderBytes = 8 * 1024
/** Padding and line break behind a delimiter. */
const maxPaddingBytes = 256
/** What may follow the last delimiter. */
const maxEpilogueBytes = 4 * 1024

const malformed = (detail: string): AppError => new AppError('bad_request', detail)

type State = 'preamble' | 'delimiter' | 'headers' | 'content' | 'epilogue'

const lineBreak = Buffer.from('\r\n')
const headerEnd = Buffer.from('\r\n\r\n')
const none = Buffer.alloc(0)

export class MultipartParser {
  readonly #delimiter: Buffer
  #state: State = 'preamble'
  /** Bytes of earlier chunks that are not consumed. The first delimiter has no line break before it: this one stands in. */
  #rest: Buffer = lineBreak
  #epilogueBytes = 0

  constructor(
    boundary: string,
    private readonly events: PartEvents,
  ) {
    this.#delimiter = Buffer.from(`\r\n--${boundary}`)
  }

  /** @throws AppError 400 for what is no multipart body of this boundary, and what the events throw. */
  push(chunk: Uint8Array): void {
    const joined = this.#rest.length === 0 ? null : join(this.#rest, chunk)
    this.#rest = none
    const { buffer, byteOffset, byteLength } = joined ?? chunk
    let left = Buffer.from(buffer, byteOffset, byteLength)
    while (left.length > 0) {
      const [state, length] = [this.#state, left.length]
      left = this.#consume(left)
      if (this.#state === state && left.length === length) break // more is needed
    }
    this.#rest = left.length === 0 ? none : Buffer.from(left) // a copy: the chunk is freed
    if (joined) release(joined)
  }

  /** Call it after the last chunk. @throws AppError 400 where the body is cut off. */
  end(): void {
    if (this.#state === 'preamble')
      throw malformed('The body does not begin with the boundary of its Content-Type')
    if (this.#state !== 'epilogue') throw malformed('The body ends before its last boundary')
  }

  /** @returns what is left; as much as was given where more is needed. */
  #consume(bytes: Buffer): Buffer {
    switch (this.#state) {
      case 'preamble':
        return this.#preamble(bytes)
      case 'delimiter':
        return this.#afterDelimiter(bytes)
      case 'headers':
        return this.#headers(bytes)
      case 'content':
        return this.#content(bytes)
      default:
        return this.#epilogue(bytes)
    }
  }

  #epilogue(bytes: Buffer): Buffer {
    this.#epilogueBytes += bytes.length
    if (this.#epilogueBytes > maxEpilogueBytes) throw malformed('The body goes on after its last boundary')
    return none
  }

  #preamble(bytes: Buffer): Buffer {
    const at = bytes.subarray(0, maxHeaderBytes + this.#delimiter.length).indexOf(this.#delimiter)
    if (at < 0) {
      if (bytes.length > maxHeaderBytes + this.#delimiter.length)
        throw malformed('The body does not begin with the boundary of its Content-Type')
      return bytes
    }
    this.#state = 'delimiter'
    return bytes.subarray(at + this.#delimiter.length)
  }

  #afterDelimiter(bytes: Buffer): Buffer {
    if (bytes.length < 2) return bytes
    if (bytes[0] === 0x2d && bytes[1] === 0x2d) {
      this.#state = 'epilogue'
      return bytes.subarray(2)
    }
    const at = bytes.indexOf(lineBreak)
    const padding = bytes.subarray(0, at < 0 ? bytes.length : at)
    if (
      padding.length > maxPaddingBytes ||
      padding.some((byte) => byte !== 0x20 && byte !== 0x09 && byte !== 0x0d)
    )
      throw malformed('A boundary is followed by something else than a line break')
    if (at < 0) return bytes
    this.#state = 'headers'
    // The line break stays: it ends an empty block of headers, too.
    return bytes.subarray(at)
  }

  #headers(bytes: Buffer): Buffer {
    const at = bytes.subarray(0, maxHeaderBytes + headerEnd.length).indexOf(headerEnd)
    if (at < 0) {
      if (bytes.length > maxHeaderBytes + headerEnd.length)
        throw malformed('The headers of a part are too long')
      return bytes
    }
    this.events.onPart(readHeaders(bytes.toString('utf8', lineBreak.length, Math.max(lineBreak.length, at))))
    this.#state = 'content'
    // The delimiter of an empty part begins with the line break that ends the headers.
    return bytes.subarray(at + lineBreak.length)
  }

  #isFirstOfPart = true

  #content(bytes: Buffer): Buffer {
    // The line break after the headers is not content; it is left only so that a delimiter can follow at once.
    const start = this.#isFirstOfPart ? lineBreak.length : 0
    const at = bytes.indexOf(this.#delimiter)
    if (at >= 0) {
      if (at > start) this.#pass(bytes.subarray(start, at))
      this.#isFirstOfPart = true
      this.#state = 'delimiter'
      return bytes.subarray(at + this.#delimiter.length)
    }
    const kept = this.#unfinished(bytes)
    const end = bytes.length - kept
    if (end <= start) return bytes
    this.#pass(bytes.subarray(start, end))
    this.#isFirstOfPart = false
    return bytes.subarray(end)
  }

  /** Not as a Buffer, whose `slice` is no copy. */
  #pass({ buffer, byteOffset, byteLength }: Buffer): void {
    this.events.onContent(new Uint8Array(buffer, byteOffset, byteLength))
  }

  /** How many bytes at the end may be the beginning of a delimiter. */
  #unfinished(bytes: Buffer): number {
    for (let at = Math.max(0, bytes.length - this.#delimiter.length + 1); at < bytes.length; at += 1) {
      if (bytes[at] === 0x0d && this.#delimiter.subarray(0, bytes.length - at).equals(bytes.subarray(at)))
        return bytes.length - at
    }
    return 0
  }
}

/** Not by `Buffer.concat`, whose memory may be shared and cannot be freed. */
const join = (rest: Uint8Array, chunk: Uint8Array): Uint8Array<ArrayBuffer> => {
  const joined = new Uint8Array(rest.byteLength + chunk.byteLength)
  joined.set(rest)
  joined.set(chunk, rest.byteLength)
  return joined
}

/** @throws AppError 400 for a part that is no field of a form. */
const readHeaders = (block: string): PartHeaders => {
  const lines = block.split('\r\n').filter((line) => line !== '')
  const headers = new Map<string, string>()
  for (const line of lines) {
    const [, name, value] = /^([!#$%&'*+.^_`|~\w-]+):[ \t]*(.*?)[ \t]*$/s.exec(line) ?? []
    if (name === undefined || value === undefined) throw malformed('A part has a malformed header')
    headers.set(name.toLowerCase(), value)
  }
  if (
    headers.has('content-transfer-encoding') &&
    !/^(?:binary|8bit|7bit)$/i.test(headers.get('content-transfer-encoding')!)
  )
    throw malformed('Send the parts without Content-Transfer-Encoding')
  const disposition = headers.get('content-disposition') ?? ''
  if (!/^form-data[ \t]*;/i.test(disposition)) throw malformed('A part has no Content-Disposition: form-data')
  const parameters = parametersOf(disposition.slice('form-data'.length))
  const name = parameters.get('name')
  if (name === undefined) throw malformed('A part has no name')
  return { name, filename: extended(parameters.get('filename*')) ?? parameters.get('filename') ?? null }
}

/** Names are in lower case. The escapes of browsers (%22, %0D, %0A) and of others (backslash) are resolved. */
const parametersOf = (text: string): Map<string, string> => {
  const found = new Map<string, string>()
  for (const [, name, quoted, token] of text.matchAll(
    /;[ \t]*([\w*-]+)[ \t]*=[ \t]*(?:"((?:[^"\\]|\\.)*)"|([^\s;"]*))/gs,
  ))
    found.set(
      name!.toLowerCase(),
      token ?? quoted!.replaceAll(/\\(["\\])/g, '$1').replaceAll(/%(?:22|0D|0A)/gi, decodeURIComponent),
    )
  return found
}

/** A value by RFC 5987; null where it is absent or malformed. */
const extended = (value: string | undefined): string | null => {
  const encoded = /^utf-8'[^']*'(.*)$/i.exec(value ?? '')?.[1]
  if (encoded === undefined) return null
  try {
    return decodeURIComponent(encoded)
  } catch {
    return null
  }
}
