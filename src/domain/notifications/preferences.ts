// Which notifications a user wants: by kind and channel, and how long before a due time. Everything is on by default.
import {
  lockPreferences,
  selectPreferences,
  updatePreferences,
  type PreferenceRow,
  type Silenced,
} from '../../db/notifications/preferences.ts'
import { wakeReminders } from '../../db/tasks/due-soon.ts'
import { selectUser } from '../../db/users/users.ts'
import type { CallerDatabase } from '../../db/client.ts'
import { AppError } from '../../errors.ts'
import type { Actor } from '../../model/actor.ts'
import {
  channels,
  defaultDueSoonHours,
  notificationKinds,
  type Channel,
  type NotificationKind,
  type Preferences,
  type PreferencesPatch,
} from '../../model/notification.ts'
import { userScope } from '../../model/scope.ts'
import { ownSubject } from '../subject.ts'
import { write, type WriteDeps, type WriteRequest, type WriteResult } from '../write.ts'

export const getPreferences = async (
  { db }: { db: CallerDatabase },
  { userId }: Actor,
): Promise<Preferences> => toPreferences(await db.of(userId).read((sql) => selectPreferences(sql, userId)))

/**
 * A merge patch. Other devices of the user receive `user.updated` with `changed: ["preferences"]`, because
 * preferences have no event of their own.
 */
export const changePreferences = (
  deps: WriteDeps,
  request: WriteRequest<Preferences>,
  patch: PreferencesPatch,
): Promise<WriteResult<Preferences>> =>
  write(deps, request, async (tx) => {
    const { userId } = request.actor
    const row = await lockPreferences(tx, userId)
    const before = toPreferences(row)
    const after = patched(row, patch)
    const value = toPreferences(after)
    if (Bun.deepEquals(before, value)) return { value, entries: [], subject: ownSubject }
    await updatePreferences(tx, userId, after)
    // The user may now want to know of tasks earlier.
    if (after.dueSoonHours !== before.dueSoonHours) await wakeReminders(tx, userId)
    const user = await selectUser(tx, userId)
    if (!user) throw new AppError('unauthenticated')
    const scope = userScope(userId)
    return {
      value,
      entries: [
        {
          scope,
          type: 'user.updated',
          id: userId,
          data: user,
          changed: ['preferences'],
          changes: { preferences: { from: before, to: value } },
          actorId: userId,
        },
      ],
      cursorScope: scope,
      subject: ownSubject,
    }
  })

/** Whether a user wants to be notified of a kind on a channel. @param silenced undefined for the defaults. */
export const isWanted = (silenced: Silenced | undefined, kind: NotificationKind, channel: Channel): boolean =>
  silenced?.[kind]?.includes(channel) !== true

const toPreferences = ({ dueSoonHours, silenced }: PreferenceRow): Preferences => ({
  dueSoonHours,
  // oxlint-disable-next-line typescript/no-unsafe-type-assertion -- one member for each kind
  kinds: Object.fromEntries(
    notificationKinds.map((kind) => [
      kind,
      { inApp: isWanted(silenced, kind, 'inApp'), email: isWanted(silenced, kind, 'email') },
    ]),
  ) as Preferences['kinds'],
})

const patched = ({ dueSoonHours, silenced }: PreferenceRow, patch: PreferencesPatch): PreferenceRow => ({
  dueSoonHours: patch.dueSoonHours === undefined ? dueSoonHours : (patch.dueSoonHours ?? defaultDueSoonHours),
  silenced: patch.kinds === null ? {} : silencedAfter(silenced, patch.kinds ?? {}),
})

const silencedAfter = (silenced: Silenced, kinds: NonNullable<PreferencesPatch['kinds']>): Silenced =>
  Object.fromEntries(
    notificationKinds.flatMap((kind): [NotificationKind, Channel[]][] => {
      const given = kinds[kind]
      const off = channels.filter((channel) => {
        const value = given === null ? null : given?.[channel]
        return value === undefined ? !isWanted(silenced, kind, channel) : value === false
      })
      return off.length > 0 ? [[kind, off]] : []
    }),
  )
