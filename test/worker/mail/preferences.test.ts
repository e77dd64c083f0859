// Every kind of notification to users who want it in the inbox, by mail, by both and by neither: each receives what it wants
// and nothing else, once.
import { expect, test } from 'bun:test'
import { notificationKinds, type NotificationKind } from '../../../src/model/notification.ts'
import { eventually } from '../../support/eventually.ts'
import { partOf } from '../../support/smtp.ts'
import type { Person, World } from '../../support/world.ts'
import { openWorker } from '../rig.ts'
import { openMailbox } from './mailbox.ts'

const wishes = {
  both: { inApp: true, email: true },
  inbox: { inApp: true, email: false },
  mail: { inApp: false, email: true },
  neither: { inApp: false, email: false },
}

/** What a mail says about each kind, to the reader. */
const words: Record<NotificationKind, RegExp> = {
  assigned: /assigned “assigned” to you/,
  shared: /shared “shared” with you/,
  mentioned: /mentioned you in “mentioned”/,
  commented: /commented on “commented”/,
  completed: /completed “completed”/,
  due_soon: /“due_soon” is due/,
  overdue: /“overdue” was due/,
  project_invited: /added you to “Apollo” as editor/,
}

/** Causes one notification of each kind for the reader, on a task that is named after the kind. */
const causeAll = async (world: World, owner: Person, reader: Person): Promise<void> => {
  const at = (ms: number) => new Date(Date.now() + ms).toISOString()
  const { id: projectId } = await world.project(owner, { editor: reader }) // project_invited
  const { id: alone } = await world.project(owner)
  const task = async (who: Person, fields: object): Promise<string> =>
    (await world.ask(who, 'POST', '/api/tasks', { projectId, ...fields })).id
  const comment = (taskId: string, fields: object) =>
    world.ask(owner, 'POST', `/api/tasks/${taskId}/comments`, { body: 'Look', ...fields })
  await task(owner, { title: 'assigned', assigneeId: reader.id })
  const shared = await task(owner, { title: 'shared', projectId: alone })
  await world.ask(owner, 'POST', `/api/tasks/${shared}/shares`, { userId: reader.id, permission: 'view' })
  await comment(await task(owner, { title: 'mentioned' }), { mentions: [reader.id] })
  await comment(await task(reader, { title: 'commented' }), {})
  const done = await task(reader, { title: 'completed' })
  await world.ask(owner, 'PATCH', `/api/tasks/${done}`, { status: 'done' })
  await task(reader, { title: 'due_soon', dueAt: at(6 * 60 * 60_000) })
  await task(reader, { title: 'overdue', dueAt: at(-60_000) })
}

test('each kind reaches the channels that its user wants, once', async () => {
  await using mailbox = await openMailbox()
  const { world } = mailbox
  await using _worker = await openWorker({ ...mailbox.settings, overdueIntervalMs: 200 })
  const { owner, ...readers } = await mailbox.people('owner', 'both', 'inbox', 'mail', 'neither')
  for (const [name, channels] of Object.entries(wishes))
    await world.ask(readers[name as keyof typeof wishes], 'PATCH', '/api/notifications/preferences', {
      kinds: Object.fromEntries(notificationKinds.map((kind) => [kind, channels])),
    })
  for (const reader of Object.values(readers)) await causeAll(world, owner, reader)

  const inboxOf = async (reader: Person): Promise<NotificationKind[]> =>
    (await world.ask(reader, 'GET', '/api/notifications?limit=100')).items.map(
      ({ kind }: { kind: NotificationKind }) => kind,
    )
  const unsettled = () =>
    world.server.deps.db.read(
      (sql) => sql`
        select from tasks
        where due_at is not null and due_rev is distinct from case when title = 'overdue' then overdue_rev else due_soon_rev end`,
    )
  await eventually(async () => expect(await unsettled()).toHaveLength(0), { timeoutMs: 20_000 })
  await mailbox.settled()
  await mailbox.closeWindows()
  await mailbox.delivered()
  const all = [...notificationKinds].toSorted()
  for (const [name, { inApp, email }] of Object.entries(wishes)) {
    const reader = readers[name as keyof typeof wishes]
    expect([name, (await inboxOf(reader)).toSorted()]).toEqual([name, inApp ? all : []])
    const entries = (await world.entries(`user:${reader.id}`)).filter(
      ({ type }) => type === 'notification.created',
    )
    expect([name, entries.length]).toEqual([name, inApp ? all.length : 0])
    const texts = mailbox.mailsTo(reader).map((mail) => partOf(mail, 'text/plain').replaceAll(/\s+/g, ' '))
    const mailed = all.filter((kind) => texts.filter((text) => words[kind].test(text)).length === 1)
    expect([name, mailed]).toEqual([name, email ? all : []])
    if (!email) expect(texts).toEqual([])
  }
  expect(mailbox.mailsTo(owner)).toEqual([])
}, 120_000)
