// Announces profile changes to the members of the user's projects.
import { isProfileChange, memberUpdates } from '../../domain/projects/profile-changes.ts'
import type { Consumer } from '../engine/consumer.ts'

export const profileChanges: Consumer = {
  name: 'profile-changes',
  concerns: isProfileChange,
  handle: memberUpdates,
}
