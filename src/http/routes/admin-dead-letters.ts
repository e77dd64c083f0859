// /admin/dead-letters: what consumers gave up on, for administrators to requeue. The list and each requeue run under the
// limits of the administrator.
import { Type } from '@sinclair/typebox'
import type { Publisher } from '../../changelog/publisher.ts'
import type { CallerDatabase } from '../../db/client.ts'
import { selectDeadLetters } from '../../db/log/dead-letters.ts'
import { requeueDeadLetter, type LetterHandler } from '../../domain/dead-letters.ts'
import { notFound } from '../../errors.ts'
import type { Log } from '../../log.ts'
import { systemActorFor } from '../../model/actor.ts'
import { parseDeadLetterId } from '../../model/dead-letter-id.ts'
import { Text } from '../../model/text.ts'
import { deadLettersPage, deadLettersScript, deadLettersStyle } from '../board/dead-letters.ts'
import { adminText } from '../board/page.ts'
import { bodyTag, ok } from '../response.ts'
import { undocumented } from '../route.ts'
import { RouteGroup } from '../route-group.ts'

const letterOf = Type.Object(
  { consumer: Text({ maxLength: 100 }), number: Text({ maxLength: 100 }) },
  { additionalProperties: false },
)

interface DeadLetterDeps {
  consumers: readonly LetterHandler[]
  db: CallerDatabase
  log: Log
  publisher: Publisher
}

export const adminDeadLetterRoutes = (deps: DeadLetterDeps): RouteGroup[] => {
  const files = new RouteGroup('/admin', { detail: undocumented({ access: 'public' }) })
    .get('/dead-letters.css', () => adminText('text/css', deadLettersStyle))
    .get('/dead-letters.js', () => adminText('text/javascript', deadLettersScript))
  const page = new RouteGroup('/admin', {
    detail: undocumented({ access: 'admin', signInPage: '/admin/sign-in' }),
  }).get('/dead-letters', () => adminText('text/html', deadLettersPage))
  const api = new RouteGroup('/admin/dead-letters', { detail: undocumented({ access: 'admin' }) })
    .get('/list', async ({ actor }) =>
      bodyTag(ok({ letters: await deps.db.of(actor.userId).read(selectDeadLetters) })),
    )
    .post(
      '/:consumer/:number/requeue',
      async ({ actor, params: { consumer, number } }) => {
        const id = parseDeadLetterId(`${consumer}/${number}`)
        if (!id) throw notFound()
        const requeued = await requeueDeadLetter(deps, id, systemActorFor(actor.userId))
        const { outcome } = requeued
        deps.log.info({ ...id, outcome }, 'dead letter requeued by an administrator')
        return ok(requeued)
      },
      { params: letterOf },
    )
  return [files, page, api]
}
