// An SMTP server that refuses connections, answers 451, answers late, cuts the message or loses the answer to it. A lost
// answer may repeat that one mail, with the same Message-ID; everything else sends each mail once.
import type { SmtpBehaviour } from '../../support/smtp.ts'
import { pause, type Fault } from '../fault.ts'

const eachMs = 1_200
const slowMs = 1_500

export const smtpFailing: Fault = {
  name: 'smtp-failing',
  title: 'an SMTP server that is away, answers 451, is slow, cuts messages and loses answers',
  async disturb(arena, signal) {
    const smtp = arena.smtp!
    const modes: SmtpBehaviour[] = [
      { onMessage: () => 451 },
      { onMessage: () => Bun.sleep(slowMs).then(() => undefined) },
      { dropAfterBytes: 200 },
      { onMessage: () => 'drop' },
      {},
    ]
    let injected = 0
    do {
      await smtp.stop()
      await pause(eachMs, signal)
      await smtp.start()
      for (const mode of modes) {
        smtp.behaviour = mode
        injected += 1
        await pause(eachMs, signal)
      }
    } while (!signal.aborted)
    smtp.behaviour = {}
    return injected
  },
}
