// Every wait of the client, in milliseconds; `docs/protocol.md` prescribes most of them.

export const timing = {
  /** For one attempt of a request; long polls add what they wait. */
  requestMs: 15_000,
  /** Attempts of a request that may be repeated. */
  attempts: 4,
  retryBaseMs: 300,
  retryMaxMs: 5_000,
  /** A `Retry-After` beyond this is the caller's to wait. */
  maxRetryAfterMs: 30_000,
  /** An access token is renewed this long before it expires. */
  renewAheadMs: 30_000,
  /** From opening a socket to its `welcome` frame. */
  openMs: 10_000,
  pingMs: 25_000,
  /** For any frame after the device reported a change of network. */
  probeMs: 5_000,
  /** A connection without any frame for this long is dead. */
  deadMs: 40_000,
  /** Full jitter between nothing and a cap that doubles from the first to the second. */
  backOffBaseMs: 500,
  backOffMaxMs: 20_000,
  /** A connection that stayed open this long resets the back-off. */
  stableMs: 10_000,
  /** A snapshot may be older than what is shown, for its reader shares it; what still is after this is the truth. */
  maxSnapshotAgeMs: 5_000,
  /** From a change of a view to keeping its state, where that is kept. */
  persistDelayMs: 2_000,
  /** For the storage to answer with the state that was kept; after that the snapshot is waited for. */
  restoreMs: 1_000,
  /** After 4429. */
  tooFastMs: 30_000,
  /** One long poll, at most 25 s. */
  pollWaitMs: 25_000,
  /** Between polls that are answered at once and bring nothing. */
  pollPauseMs: 1_000,
  /** Where sockets do not open, they are tried again after the first, then after ever more up to the second. */
  pollBaseMs: 5_000,
  pollMaxMs: 300_000,
}

export type Timing = typeof timing
