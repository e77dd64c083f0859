// An SMTP server that refuses connections, answers 451, answers late, cuts the message or loses the answer to it. A lost
// answer may repeat that one mail, with the same Message-ID; everything else sends each mail once.
import type { SmtpBehaviour } from '../../support/smtp.ts'
import { Injections } from '../injections.ts'
import type { Fault } from '../fault.ts'

const eachMs = 1_200
const slowMs = 1_500
const cutAtBytes = 200
const maxTurns = 4

export const smtpFailing: Fault = {
  name: 'smtp-failing',
  title: 'an SMTP server that is away, answers 451, is slow, cuts messages and loses answers',
  async disturb(arena, signal) {
    const smtp = arena.smtp!
    const injections = new Injections(arena, ['away', 'answered 451', 'slow', 'cut', 'answers lost'])
    // Counted where a mail meets them.
    const modes: SmtpBehaviour[] = [
      {
        onMessage: () => {
          injections.add('answered 451')
          return 451
        },
      },
      {
        onMessage: async () => {
          injections.add('slow')
          await Bun.sleep(slowMs)
          return undefined
        },
      },
      {
        get dropAfterBytes() {
          injections.add('cut')
          return cutAtBytes
        },
      },
      {
        onMessage: () => {
          injections.add('answers lost')
          return 'drop'
        },
      },
      {},
    ]
    for (let turn = 0; !signal.aborted || (injections.missing.length > 0 && turn < maxTurns); turn += 1) {
      await smtp.stop()
      await Bun.sleep(eachMs)
      await smtp.start()
      injections.add('away')
      for (const mode of modes) {
        smtp.behaviour = mode
        await Bun.sleep(eachMs)
      }
    }
    smtp.behaviour = {}
    return injections.finish()
  },
}
