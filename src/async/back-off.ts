// How long to wait before the next try: the only formula for it in src (the client, a package of its own, has its own).

/**
 * Exponential back-off with jitter: `baseMs` for the first failure, doubled by each further one, at most `maxMs`; a
 * random half is taken off, so that processes which failed together do not return together.
 * @param failures in a row, from 1.
 */
export const backOffMs = (failures: number, baseMs: number, maxMs: number): number =>
  Math.min(baseMs * 2 ** (failures - 1), maxMs) * (0.5 + Math.random() / 2)
