// The response of a write: what is sent, and what is stored under an idempotency claim and replayed.

export interface StoredResponse {
  status: number
  headers: Record<string, string>
  /** JSON text; null for none. */
  body: string | null
}
