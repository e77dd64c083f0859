// The notifications that must exist, computed from the log alone: a second, simpler statement of the rules. It holds for
// runs in which no user loses access, nothing is deleted or archived, no task with comments gets another assignee, and
// preferences are set before anything happens.
import type { LogEntry } from '../../src/model/event.ts'

interface Frame {
  id: string
  actor: string | null
  data: Record<string, any>
}

/** `kind task user` of each, sorted; `null` for a task where the notification is about a project. */
export const inboxFromLog = (entries: readonly LogEntry[]): string[] => {
  const expected: string[] = []
  /** `user kind` of what a user does not want. */
  const unwanted = new Set<string>()
  const tasks = new Map<string, Frame['data']>()
  const authors = new Map<string, string[]>()
  const notify = (kind: string, taskId: string | null, users: unknown[], actor: string | null): void => {
    for (const user of new Set(users))
      if (typeof user === 'string' && user !== actor && !unwanted.has(`${user} ${kind}`))
        expected.push(`${kind} ${taskId} ${user}`)
  }
  for (const { changes, scope } of entries) {
    const kinds: [string, { inApp: boolean }][] = Object.entries(
      (changes?.['preferences']?.to as any)?.kinds ?? {},
    )
    for (const [kind, { inApp }] of kinds) if (!inApp) unwanted.add(`${scope.slice('user:'.length)} ${kind}`)
  }
  for (const { type, scope, frame, version, changes } of entries) {
    if (frame === null || !scope.startsWith('project:')) continue
    const { id, actor, data }: Frame = JSON.parse(frame)
    if (type.startsWith('task.')) tasks.set(id, data)
    const assigned = [changes?.['assigneeId']?.to]
    switch (type) {
      case 'member.added':
        notify('project_invited', null, [id], actor)
        break
      case 'share.added':
        if (changes?.['permission']?.from === null) notify('shared', id, [data['userId']], actor)
        break
      case 'task.created':
        if (version === 1) notify('assigned', id, assigned, actor)
        break
      case 'task.updated':
        notify('assigned', id, assigned, actor)
        if (changes?.['status']?.to === 'done')
          notify('completed', id, [data['creatorId'], data['assigneeId']], actor)
        break
      case 'comment.created': {
        const { taskId, mentions } = data as { taskId: string; mentions: string[] }
        const task = tasks.get(taskId)!
        const earlier = authors.get(taskId) ?? []
        notify('mentioned', taskId, mentions, actor)
        const concerned = [task['creatorId'], task['assigneeId'], ...earlier]
        notify(
          'commented',
          taskId,
          concerned.filter((user) => !mentions.includes(user)),
          actor,
        )
        authors.set(taskId, [...earlier, actor!])
        break
      }
      case 'comment.updated': {
        const { from, to } = (changes?.['mentions'] ?? { from: [], to: [] }) as {
          from: string[]
          to: string[]
        }
        notify(
          'mentioned',
          data['taskId'],
          to.filter((user) => !from.includes(user)),
          actor,
        )
        break
      }
    }
  }
  return expected.sort()
}
