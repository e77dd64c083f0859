// Schemas of attachments, of direct uploads, and of the bodies that begin them.
import { Kind, Type, TypeRegistry, type Static } from '@sinclair/typebox'
import { Id, Instant, Nullable, Sha256, Word } from './scalar.ts'
import { Text } from './text.ts'
import { maxFileName } from './file-name.ts'

/** Bytes of one upload through the server. */
export const maxUploadBytes = 10 * 1024 * 1024

/** Bytes of one direct upload. */
export const maxDirectBytes = 1024 * 1024 * 1024

/** Media types that an attachment may have, decided by its content. */
export const attachmentTypes = [
  'image/png',
  'image/jpeg',
  'image/gif',
  'image/webp',
  'application/pdf',
  'text/plain',
  'text/csv',
  'text/markdown',
  'application/zip',
  'application/msword',
  'application/vnd.ms-excel',
  'application/vnd.ms-powerpoint',
  'application/vnd.openxmlformats-officedocument.wordprocessingml.document',
  'application/vnd.openxmlformats-officedocument.spreadsheetml.sheet',
  'application/vnd.openxmlformats-officedocument.presentationml.presentation',
  'application/vnd.oasis.opendocument.text',
  'application/vnd.oasis.opendocument.spreadsheet',
  'application/vnd.oasis.opendocument.presentation',
] as const
export type AttachmentType = (typeof attachmentTypes)[number]

export const Attachment = Type.Object(
  {
    id: Id(),
    taskId: Id(),
    filename: Text({ minLength: 1, maxLength: maxFileName, examples: ['plan.pdf'] }),
    contentType: Word(...attachmentTypes),
    size: Type.Integer({ minimum: 1, description: 'Bytes' }),
    sha256: Sha256(),
    uploaderId: Nullable(Id()),
    createdAt: Instant(),
  },
  { additionalProperties: false },
)
export type Attachment = Static<typeof Attachment>

/** Why a direct upload was refused by its verification. */
export const RemovalReason = Word(
  'size_mismatch',
  'hash_mismatch',
  'unsupported_type',
  'type_mismatch',
  'object_missing',
)
export type RemovalReason = Static<typeof RemovalReason>

/** The last state of an attachment; with a reason for its uploader where it never became visible. */
export const RemovedAttachment = Type.Object(
  { ...Attachment.properties, reason: Type.Optional(RemovalReason) },
  { additionalProperties: false },
)
export type RemovedAttachment = Static<typeof RemovedAttachment>

/** The maximum is that of the document: the route answers 413 beyond it. */
TypeRegistry.Set('DeclaredSize', (_schema, value) => Number.isSafeInteger(value) && Number(value) >= 1)

/** The body that begins a direct upload. */
export const NewDirectUpload = Type.Object(
  {
    filename: Text({ minLength: 1, maxLength: 1_000, examples: ['recording.zip'] }),
    size: Type.Unsafe<number>({
      [Kind]: 'DeclaredSize',
      type: 'integer',
      minimum: 1,
      maximum: maxDirectBytes,
      description: 'Exact bytes, at most 1 GiB: 413 beyond',
    }),
    sha256: Sha256(),
    contentType: Text({
      minLength: 1,
      maxLength: 255,
      pattern: String.raw`^\s*(?:${attachmentTypes.join('|').replaceAll(/[.+]/g, String.raw`\$&`)})\s*(?:;.*)?$`,
      description: 'One of those of `Attachment`, with or without parameters: 415 otherwise',
      examples: ['application/zip'],
    }),
  },
  { additionalProperties: false },
)
export type NewDirectUpload = Static<typeof NewDirectUpload>

/** How the client stores the object by itself: one request, without credentials of this server. */
export const DirectUpload = Type.Object(
  {
    id: Id('Of the attachment, for `complete`'),
    method: Word('PUT'),
    url: Type.String({ description: 'Valid until expiresAt; a secret' }),
    headers: Type.Object({ 'Content-Type': Type.String() }, { additionalProperties: false }),
    expiresAt: Instant(),
  },
  { additionalProperties: false },
)
export type DirectUpload = Static<typeof DirectUpload>
