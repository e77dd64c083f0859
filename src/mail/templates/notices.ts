// Mails about notifications: one notice, or a digest of several. Times are written in the time zone of the reader.
import type { NotificationKind } from '../../model/notification.ts'
import type { Card, RenderedMail, Sentence } from '../document.ts'
import { renderMail } from '../render.ts'

/** A notification as a mail shows it. */
export interface Notice {
  kind: NotificationKind
  /** Null where the account is deleted, or the clock is the cause. */
  actorName: string | null
  /** Null where the notice is about a project. */
  taskTitle: string | null
  /** Null where the reader may not read the project. */
  projectName: string | null
  /** Of `project_invited`. */
  role: string | null
  /** Of `due_soon` and `overdue`, RFC 3339. */
  dueAt: string | null
  /** The comment of `mentioned` and `commented`; null where it is gone. */
  comment: string | null
  createdAt: string
}

export interface NoticeMail {
  /** At least one, oldest first; at most `maxCards`. */
  notices: readonly Notice[]
  /** With those that the mail does not show. */
  total: number
  /** Of the reader; an unknown one counts as UTC. */
  timeZone: string
  unsubscribeUrl: string
}

/** `Fri, 27 Nov 2026, 18:30 CET` */
export const timeIn = (instant: string, timeZone: string): string => {
  const options = {
    weekday: 'short',
    day: 'numeric',
    month: 'short',
    year: 'numeric',
    hour: '2-digit',
    minute: '2-digit',
    hourCycle: 'h23',
    timeZoneName: 'short',
  } as const
  const format = (zone: string): string =>
    new Intl.DateTimeFormat('en-GB', { ...options, timeZone: zone }).format(new Date(instant))
  try {
    return format(timeZone)
  } catch {
    return format('UTC') // the zone was removed from the runtime's data
  }
}

/** What a mail says about each kind. `subject` is the sentence without markup. */
const kinds: Record<
  NotificationKind,
  {
    label: string
    tone: Card['tone']
    /** Used in `You receive mails when …`. */
    sentence: (notice: Notice, timeZone: string) => Sentence
  }
> = {
  assigned: {
    label: 'Assigned to you',
    tone: 'calm',
    sentence: (notice) => [actorOf(notice), ' assigned ', taskOf(notice), ' to you'],
  },
  shared: {
    label: 'Shared with you',
    tone: 'calm',
    sentence: (notice) => [actorOf(notice), ' shared ', taskOf(notice), ' with you'],
  },
  mentioned: {
    label: 'You were mentioned',
    tone: 'calm',
    sentence: (notice) => [actorOf(notice), ' mentioned you in ', taskOf(notice)],
  },
  commented: {
    label: 'New comment',
    tone: 'calm',
    sentence: (notice) => [actorOf(notice), ' commented on ', taskOf(notice)],
  },
  completed: {
    label: 'Completed',
    tone: 'good',
    sentence: (notice) => [actorOf(notice), ' completed ', taskOf(notice)],
  },
  due_soon: {
    label: 'Due soon',
    tone: 'urgent',
    sentence: (notice, timeZone) => [taskOf(notice), ' is due ', dueOf(notice, timeZone)],
  },
  overdue: {
    label: 'Overdue',
    tone: 'urgent',
    sentence: (notice, timeZone) => [taskOf(notice), ' was due ', dueOf(notice, timeZone)],
  },
  project_invited: {
    label: 'New project',
    tone: 'calm',
    sentence: (notice) => [
      actorOf(notice),
      ' added you to ',
      notice.projectName === null ? 'a project' : { theirs: notice.projectName, isTitle: true },
      ...(notice.role === null ? [] : [` as ${notice.role}`]),
    ],
  },
}

const actorOf = ({ actorName }: Notice): Sentence[number] =>
  actorName === null ? 'Someone' : { theirs: actorName }

const taskOf = ({ taskTitle }: Notice): Sentence[number] =>
  taskTitle === null ? 'a task' : { theirs: taskTitle, isTitle: true }

const dueOf = ({ dueAt }: Notice, timeZone: string): string =>
  dueAt === null ? 'now' : timeIn(dueAt, timeZone)

const cardOf = (notice: Notice, timeZone: string): Card => {
  const { label, tone, sentence } = kinds[notice.kind]
  const isAboutTask = notice.kind !== 'project_invited'
  return {
    label,
    tone,
    sentence: sentence(notice, timeZone),
    quote: notice.comment,
    detail: [
      ...(isAboutTask && notice.projectName !== null ? [notice.projectName] : []),
      timeIn(notice.createdAt, timeZone),
    ],
  }
}

/** Notices that a digest shows; the others are counted. 30 of the longest stay far below the 102 KB at which Gmail cuts. */
export const maxCards = 30

const reason = 'You receive this mail because your notifications are also sent by mail.'

export const noticeMail = ({ notices, total, timeZone, unsubscribeUrl }: NoticeMail): RenderedMail => {
  const first = notices[0]!
  const cards = notices.map((notice) => cardOf(notice, timeZone))
  const sentence = kinds[first.kind].sentence(first, timeZone)
  const end = { reason, links: [{ label: 'Stop mails like this one', url: unsubscribeUrl }] }
  if (total === 1)
    return renderMail({
      subject: sentence,
      preview: sentence,
      title: kinds[first.kind].label,
      blocks: [{ kind: 'cards', cards: [{ ...cards[0]!, label: null }] }],
      ...end,
    })
  const more = total - notices.length
  return renderMail({
    subject: [`${total} notifications`],
    preview: sentence,
    title: `${total} notifications`,
    blocks: [
      { kind: 'cards', cards },
      ...(more > 0 ? [{ kind: 'small', sentence: [`And ${more} more in your inbox.`] } as const] : []),
    ],
    ...end,
  })
}
