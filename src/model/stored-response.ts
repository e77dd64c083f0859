// The response of a write, complete but for its cursor: what is sent, and what an idempotency key stores.

/** A finished answer, as it is sent and as it is kept for repeats. */
export interface StoredResponse {
  status: number
  headers: Record<string, string>
  body: string | null
}
