// /api/mail/unsubscribe: what the unsubscribe links of mails open and post to, without a session: the token says whose
// mails about what end. Opening it changes nothing, because mail scanners open links; one post does (RFC 8058).
import { Type } from '@sinclair/typebox'
import { unsubscriptionOf, type Unsubscription } from '../../auth/unsubscribe-tokens.ts'
import type { Publisher } from '../../changelog/publisher.ts'
import type { Config } from '../../config.ts'
import type { CallerDatabase } from '../../db/client.ts'
import { stopMails } from '../../domain/notifications/unsubscribe.ts'
import { AppError } from '../../errors.ts'
import { unsubscribePath } from '../../mail/links.ts'
import type { NotificationKind } from '../../model/notification.ts'
import { Text } from '../../model/text.ts'
import { oneClickBody } from '../body/one-click.ts'
import { pageAnswer } from '../pages/page.ts'
import { RouteGroup } from '../route-group.ts'
import { describedIn } from '../route.ts'

const detail = describedIn('Notifications')

const query = Type.Object(
  {
    token: Text({ minLength: 1, maxLength: 100, untrimmed: true, description: 'From the link in the mail' }),
  },
  { additionalProperties: false },
)

const Html = Type.String({ description: 'A page' })

/** What the mails are about, in the words of the page. */
const words: Record<NotificationKind, string> = {
  assigned: 'tasks that are assigned to you',
  shared: 'tasks that are shared with you',
  mentioned: 'comments that mention you',
  commented: 'comments on your tasks',
  completed: 'tasks that are completed',
  due_soon: 'tasks that are due soon',
  overdue: 'tasks that are overdue',
  project_invited: 'projects you are added to',
}

const listOf = ({ kinds }: Unsubscription): string =>
  `      <ul>\n${kinds.map((kind) => `        <li>${words[kind]}</li>`).join('\n')}\n      </ul>`

interface UnsubscribeDeps {
  config: Config
  db: CallerDatabase
  publisher: Publisher
}

export const unsubscribeRoutes = (deps: UnsubscribeDeps) => {
  const read = (token: string): Unsubscription => {
    const unsubscription = unsubscriptionOf(deps.config, token)
    if (unsubscription) return unsubscription
    const detail = 'is no token of an unsubscribe link'
    throw new AppError('link_invalid', undefined, { errors: [{ pointer: '/token', detail }] })
  }
  const traits = { access: 'public', produces: 'text/html', errors: ['link_invalid'] } as const
  return new RouteGroup()
    .get(
      unsubscribePath,
      ({ query: { token } }) =>
        pageAnswer({
          title: 'Stop these mails',
          content: `      <p>You receive mails about</p>
${listOf(read(token))}
      <p>They stop for your account. Your inbox still has the notifications.</p>
      <form method="post">
        <input type="hidden" name="List-Unsubscribe" value="One-Click">
        <button>Stop these mails</button>
      </form>`,
        }),
      {
        query,
        response: { 200: Html },
        detail: detail('Page that asks whether mails about some kinds of notifications shall stop', traits),
      },
    )
    .post(
      unsubscribePath,
      async (context) => {
        const unsubscription = read(context.query.token)
        await stopMails(deps, unsubscription)
        return pageAnswer({
          title: 'These mails have stopped',
          content: `      <p>You receive no more mails about</p>
${listOf(unsubscription)}
      <p>The preferences of your notifications turn them on again.</p>`,
        })
      },
      {
        query,
        body: Type.Optional(Type.Object({ 'List-Unsubscribe': Type.Optional(Type.String()) })),
        response: { 200: Html },
        detail: detail('Stop mails about some kinds of notifications, in one click (RFC 8058)', {
          ...traits,
          body: oneClickBody,
        }),
      },
    )
}
