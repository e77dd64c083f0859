// What pushers may do to a stream, at length: each history is random, checked step by step against a model, and shrunk
// where it fails. It goes on beside the real streams, which it leaves alone.
import { checkStreamModel } from '../../changelog/stream-model.ts'
import type { Fault } from '../fault.ts'

const historiesAtOnce = 20

export const streamModel: Fault = {
  name: 'stream-model',
  title: 'random histories of pushes, repeats, stale pushers, wipes and trimming against a model',
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
      `${histories} histories, ${refused} pushes refused for a hole, ${trimmed} looks at a trimmed stream`,
    )
    if (refused === 0 || trimmed === 0) arena.violations.push('the histories met no hole or no trimming')
    return histories
  },
}
