// How a route's body is read: one reader for each kind of body, named by the route. The pipeline knows only this
// interface, so that another kind (multipart, raw stream) is another file here and no change elsewhere.

export interface BodyInput {
  request: Request
  /** `Content-Type` without its parameters; empty for none. */
  mediaType: string
  /** Milliseconds the whole body may take to arrive. */
  deadlineMs: number
  /** Reserves memory for `length` bytes in all. @throws AppError 503 where the budget is used up. */
  reserve: (length: number) => void
  /** Call it when the last byte was read: an answer before that closes the connection. */
  complete: () => void
}

export interface BodyReader {
  /**
   * `value`: the whole body is read before validation, and checked against the route's `body` schema.
   * `stream`: the handler consumes the body, and checks what is in it.
   */
  readonly kind: 'value' | 'stream'
  /** The most bytes of one body held in memory. */
  readonly maxBytes: number
  /** Media types accepted for a method, the preferred one first. */
  mediaTypes(method: string): readonly string[]
  /**
   * What handlers receive as `body`, undefined where there is none. Runs after authentication and before validation.
   * @throws AppError 413, 415, 400 or 422 for a body that cannot be read, 503 for one that is late or finds no room.
   */
  read(input: BodyInput): Promise<unknown>
}
