// Random histories of pushes to a stream, each step checked against a model; failures are shrunk. Uses streams of its own
// beside the real ones.
import { checkStreamModel } from '../../changelog/stream-model.ts'
import type { Fault } from '../fault.ts'

const historiesAtOnce = 20

export const streamModel: Fault = {
  name: 'stream-model',
  title: 'random histories of pushes, repeats, stale pushes, deletion and trimming against a model',
  longSeconds: 120,
  async disturb(arena, signal) {
    let histories = 0
    let refused = 0
    let trimmed = 0
    while (!signal.aborted) {
      const found = await checkStreamModel(arena.redis, arena.options.seed + histories, historiesAtOnce)
      histories += historiesAtOnce
      refused += found.refused
      trimmed += found.trimmed
    }
    arena.notes.push(
      `${histories} histories, ${refused} pushes refused for a gap, ${trimmed} reads of a trimmed stream`,
    )
    if (refused === 0 || trimmed === 0) arena.violations.push('the histories contained no gap or no trimming')
    return histories
  },
}
