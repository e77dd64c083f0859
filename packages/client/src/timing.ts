// Every wait of the client, in milliseconds; `docs/protocol.md` prescribes most of them.

export const timing = {
  /** For one attempt of a request; long polls add the time they wait at the server. */
  requestMs: 15_000,
  /** Attempts of a request that may be repeated. */
  attempts: 4,
  retryBaseMs: 300,
  retryMaxMs: 5_000,
  /** A longer `Retry-After` is not waited for: the call fails, and its caller decides. */
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
  /** A shared snapshot may be older than the shown state; one that still is after this time is taken. */
  maxSnapshotAgeMs: 5_000,
  /** From a change of a view to storing its state, where views are stored. */
  persistDelayMs: 2_000,
  /** For the storage to return the stored state; after that the view reads its snapshot. */
  restoreMs: 1_000,
  /** After 4429. */
  tooFastMs: 30_000,
  /** One long poll, at most 25 s. */
  pollWaitMs: 25_000,
  /** Between polls that are answered at once without events. */
  pollPauseMs: 1_000,
  /** Where sockets do not open, one is tried after the first, and after a time that doubles up to the second. */
  pollBaseMs: 5_000,
  pollMaxMs: 300_000,
}

export type Timing = typeof timing
