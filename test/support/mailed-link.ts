// The link of a mail as the worker makes it from the delivery that a request left: tests read it here in place of a
// mailbox.
import { linkToSend, type LinkToSend } from '../../src/domain/users/links.ts'
import type { LinkKind } from '../../src/model/invitation.ts'
import type { World } from './world.ts'

/** Deliveries of mails with a link of this kind to an address, oldest first. */
export const linkDeliveries = async (
  { server }: World,
  kind: LinkKind,
  email: string,
): Promise<{ linkId: string; payload: Record<string, unknown> }[]> =>
  server.deps.db.read(
    (sql) => sql<{ linkId: string; payload: Record<string, unknown> }[]>`
      select l.id as "linkId", d.payload
      from deliveries d join account_links l on l.id::text = d.payload ->> 'linkId'
      where d.kind = ${`mail.${kind}`} and l.email = ${email}
      order by d.created_at, d.id`,
  )

/** What the newest of these mails says; null where none is sent. */
export const mailedLink = async (world: World, kind: LinkKind, email: string): Promise<LinkToSend | null> => {
  const newest = (await linkDeliveries(world, kind, email)).at(-1)
  return newest ? linkToSend(world.server.deps, newest.linkId) : null
}

/** Its token; throws where no mail is sent. */
export const mailedToken = async (world: World, kind: LinkKind, email: string): Promise<string> => {
  const link = await mailedLink(world, kind, email)
  if (!link) throw new Error(`no mail of kind ${kind} is sent`)
  return link.token
}
