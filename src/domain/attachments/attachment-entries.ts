// Log entries about attachments, in the scopes of their task: its project, and each user it is shared with. They have no
// version: an attachment is added once, never changed, and removed once.
import type { Attachment, RemovalReason, RemovedAttachment } from '../../model/attachment.ts'
import type { Entry } from '../../model/event.ts'
import { projectScope, userScope } from '../../model/scope.ts'

/** Where the task of the attachments is, and the users it is shared with. */
export interface AttachmentAudience {
  projectId: string
  sharees: string[]
}

const toScopes = ({ projectId, sharees }: AttachmentAudience, entry: Omit<Entry, 'scope'>): Entry[] =>
  [projectScope(projectId), ...sharees.map(userScope)].map((scope) => ({ scope, ...entry }))

export const attachmentAdded = (
  audience: AttachmentAudience,
  attachment: Attachment,
  actorId: string | null,
): Entry[] =>
  toScopes(audience, {
    type: 'attachment.added',
    id: attachment.id,
    data: attachment,
    actorId,
    changes: {
      taskId: { from: null, to: attachment.taskId },
      filename: { from: null, to: attachment.filename },
    },
  })

export const attachmentRemoved = (
  audience: AttachmentAudience,
  attachment: Attachment,
  actorId: string,
): Entry[] =>
  toScopes(audience, {
    type: 'attachment.removed',
    id: attachment.id,
    data: attachment,
    actorId,
    changes: {
      taskId: { from: attachment.taskId, to: null },
      filename: { from: attachment.filename, to: null },
    },
  })

/** A direct upload that did not become visible, for its uploader alone. */
export const uploadRejected = (
  attachment: Attachment,
  uploaderId: string,
  reason: RemovalReason,
): Entry[] => {
  const data: RemovedAttachment = { ...attachment, reason }
  return [
    {
      scope: userScope(uploaderId),
      type: 'attachment.removed',
      id: attachment.id,
      data,
      actorId: null,
    },
  ]
}
