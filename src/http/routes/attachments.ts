// /api/tasks/:id/attachments and /api/attachments/:id: files of tasks.
import { Type } from '@sinclair/typebox'
import type { Publisher } from '../../changelog/publisher.ts'
import type { Config } from '../../config.ts'
import type { CallerDatabase } from '../../db/client.ts'
import type { Reads } from '../../db/reads.ts'
import { getAttachment, listAttachments, removeAttachment } from '../../domain/attachments/attachments.ts'
import { beginDirectUpload, completeDirectUpload } from '../../domain/attachments/direct-upload.ts'
import { UploadReceiver } from '../../domain/attachments/receive.ts'
import { addAttachment, requireAttachable } from '../../domain/attachments/upload.ts'
import { policiesOf } from '../../limits/policies.ts'
import type { RateLimiter } from '../../limits/window.ts'
import type { Log } from '../../log.ts'
import {
  Attachment,
  attachmentTypes,
  DirectUpload,
  maxUploadBytes,
  NewDirectUpload,
} from '../../model/attachment.ts'
import { Id } from '../../model/scalar.ts'
import type { Storage } from '../../storage/storage.ts'
import { multipartBody, type MultipartBody } from '../body/multipart.ts'
import { download, fileTag } from '../download.ts'
import type { KeptAnswers } from '../kept-answers.ts'
import { openPager, pageOf, pageQuery } from '../page.ts'
import { takeRateLimit } from '../rate-limit.ts'
import { created, mutate, noContent, ok } from '../response.ts'
import { RouteGroup } from '../route-group.ts'
import { describedIn } from '../route.ts'

const params = Type.Object({ id: Id() })

const detail = describedIn('Attachments')

/** The form of an upload, for the document: the handler reads it. */
const UploadForm = Type.Object({ file: Type.String({ format: 'binary' }) }, { additionalProperties: false })

const Bytes = Type.String({ description: 'The bytes of the file' })

interface AttachmentDeps {
  config: Config
  log: Log
  db: CallerDatabase
  reads: Pick<Reads, 'heads'>
  kept: KeptAnswers
  publisher: Publisher
  storage: Storage
  limiter: RateLimiter
}

const render = (attachment: Attachment) =>
  created(attachment, `/api/attachments/${attachment.id}`, { ETag: fileTag(attachment) })

export const attachmentRoutes = (deps: AttachmentDeps) => {
  const pager = openPager(deps)
  const { uploads } = policiesOf(deps.config)
  const receiver = new UploadReceiver()
  return new RouteGroup('/api')
    .get(
      '/tasks/:id/attachments',
      (context) =>
        pager.answer(context, (slice) => listAttachments(deps, context.actor, context.params.id, slice)),
      {
        params,
        query: pageQuery,
        response: { 200: pageOf(Attachment) },
        detail: detail('List the files attached to a task, oldest first'),
      },
    )
    .post(
      '/tasks/:id/attachments',
      async (context) => {
        const { actor, params } = context
        await using file = deps.storage.temporaryFile()
        const admit = async (): Promise<void> => {
          await takeRateLimit(deps, context, uploads, actor.userId)
          await requireAttachable(deps, actor, params.id)
        }
        // oxlint-disable-next-line typescript/no-unsafe-type-assertion -- what the reader of this route returns
        const body = context.body as unknown as MultipartBody
        const received = await receiver.receive(actor.userId, file, (write) =>
          body.receiveFile({ maxBytes: maxUploadBytes, write, admission: admit() }),
        )
        const { filename, sha256 } = received
        return await mutate(
          context,
          render,
          (write) => addAttachment(deps, write, params.id, received),
          undefined,
          { filename, sha256 },
        )
      },
      {
        params,
        body: UploadForm,
        response: { 201: Attachment },
        detail: detail('Attach a file of at most 10 MiB to a task (editors, and a share to edit)', {
          idempotent: true,
          body: multipartBody,
          errors: ['file_too_large', 'quota_exceeded', 'unsupported_type'],
        }),
      },
    )
    .post(
      '/tasks/:id/attachments/uploads',
      async (context) => {
        await takeRateLimit(deps, context, uploads, context.actor.userId)
        return mutate(
          context,
          // The tag of the file that will be at `Location`.
          (begun: DirectUpload) =>
            created(begun, `/api/attachments/${begun.id}`, { ETag: fileTag(context.body) }),
          (write) => beginDirectUpload(deps, write, context.params.id, context.body),
        )
      },
      {
        params,
        body: NewDirectUpload,
        response: { 201: DirectUpload },
        detail: detail(
          'Begin an upload of at most 1 GiB that goes to the S3 store directly; valid for an hour',
          {
            idempotent: true,
            isLogged: false,
            errors: ['direct_upload_unavailable', 'file_too_large', 'quota_exceeded', 'unsupported_type'],
          },
        ),
      },
    )
    .post(
      '/attachments/:id/complete',
      (context) =>
        mutate(
          context,
          (attachment: Attachment) => ({ ...ok(attachment, { ETag: fileTag(attachment) }), status: 202 }),
          (write) => completeDirectUpload(deps, write, context.params.id),
        ),
      {
        params,
        response: { 202: Attachment },
        detail: detail('Have a direct upload verified; `attachment.added` or `attachment.removed` follows', {
          idempotent: true,
          isLogged: false,
          errors: ['upload_expired'],
        }),
      },
    )
    .get(
      '/attachments/:id',
      async (context) => {
        const { attachment, storageKey } = await getAttachment(deps, context.actor, context.params.id)
        return download(deps, context, { ...attachment, storageKey })
      },
      {
        params,
        response: { 200: Bytes, 206: Bytes },
        detail: detail('Download a file, or a range of its bytes', {
          produces: attachmentTypes,
          errors: ['range_not_satisfiable'],
        }),
      },
    )
    .delete(
      '/attachments/:id',
      (context) => mutate(context, noContent, (write) => removeAttachment(deps, write, context.params.id)),
      {
        params,
        response: { 204: Type.Void() },
        detail: detail('Remove a file from its task (editors, and a share to edit)', { idempotent: true }),
      },
    )
}
