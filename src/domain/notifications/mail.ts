// Notifications as mails. A notice is recorded in the transaction of its cause together with the delivery of its window;
// what the mail says is read when it is made, by the rights and preferences of that moment.
//
// The problem: a user who assigns ten tasks should cause one mail, the mail must not be lost or repeated by a crash,
// and no notice may fall between two mails. The naive way, a delay and a query for what is unread, mails a notice twice
// or never when its transaction commits beside the query. The way chosen: the first notice opens a window of the person
// and inserts its delivery; later ones join it under the lock of the window's row. The job closes the window under the
// same lock before it reads, so that a transaction it did not wait for opens another window.
import type { Tx } from '../../db/client.ts'
import { insertDeliveries } from '../../db/deliveries/deliveries.ts'
import {
  closeMailWindow,
  deleteMailNotices,
  insertMailNotices,
  lockAndSelectMailReaders,
  openMailWindows,
  selectMailNotices,
  selectMailReader,
  selectUnreadAsNotices,
  type MailNoticeRow,
  type MailReader,
  type NewMailNotice,
} from '../../db/notifications/mail-notices.ts'
import type { LogEntry } from '../../model/event.ts'

/** How long notices of one person are collected, from the first one. */
const windowMs = 60_000

/** Records those that their users want as mails. */
export const mailNotices = async (tx: Tx, notices: readonly NewMailNotice[]): Promise<void> => {
  if (notices.length === 0) return
  const readers = await lockAndSelectMailReaders(tx, notices)
  const wanted = notices.filter((_notice, n) => readers.has(n))
  if (wanted.length === 0) return
  const windows = await openMailWindows(
    tx,
    wanted.map(({ userId }) => userId),
    windowMs,
  )
  await insertMailNotices(
    tx,
    wanted.map((notice) => ({ ...notice, windowId: windows.get(notice.userId)! })),
  )
  await insertDeliveries(
    tx,
    [...windows].map(([userId, windowId]) => ({
      kind: 'mail.notification' as const,
      payload: { userId, windowId },
      dedupeKey: `mail.notification ${windowId}`,
      delayMs: windowMs,
    })),
  )
}

/** Whether the entry announces a notification. */
export const isNotification = ({ type }: LogEntry): boolean => type === 'notification.created'

/** The same for notifications in the inbox, by the entries that announce them. */
export const mailNotifications = async (tx: Tx, entries: readonly LogEntry[]): Promise<void> =>
  mailNotices(
    tx,
    await selectUnreadAsNotices(
      tx,
      entries.flatMap(({ entityId }) => entityId ?? []),
    ),
  )

/** What one mail says. */
export interface NoticesToSend {
  reader: MailReader
  /** Oldest first. */
  notices: MailNoticeRow[]
  /** With those beyond the limit. */
  total: number
}

/** The content of a window, which this closes; null where nothing is to be sent any more. */
export const noticesToSend = async (
  tx: Tx,
  { userId, windowId }: { userId: string; windowId: string },
  limit: number,
): Promise<NoticesToSend | null> => {
  await closeMailWindow(tx, userId, windowId)
  const reader = await selectMailReader(tx, userId)
  const notices = reader ? await selectMailNotices(tx, windowId, limit) : []
  return reader && notices.length > 0 ? { reader, notices, total: notices[0]!.total } : null
}

/** In the transaction that completes the delivery. */
export const forgetNotices = (tx: Tx, windowId: string): Promise<void> => deleteMailNotices(tx, windowId)
