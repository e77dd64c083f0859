// /api/users/me/avatar and /api/users/:id/avatar: pictures of people.
import { Type } from '@sinclair/typebox'
import type { Publisher } from '../../changelog/publisher.ts'
import type { Config } from '../../config.ts'
import type { CallerDatabase } from '../../db/client.ts'
import { avatarTagOf } from '../../db/users/avatar-url.ts'
import { acceptPicture, getAvatar, removeAvatar, setAvatar } from '../../domain/avatars/avatars.ts'
import { notFound } from '../../errors.ts'
import { policiesOf } from '../../limits/policies.ts'
import type { RateLimiter } from '../../limits/window.ts'
import type { Log } from '../../log.ts'
import { Id } from '../../model/scalar.ts'
import { Text } from '../../model/text.ts'
import { User } from '../../model/user.ts'
import type { Storage } from '../../storage/storage.ts'
import { multipartBody, type MultipartBody } from '../body/multipart.ts'
import { takeRateLimit } from '../rate-limit.ts'
import { bodyTag, isKnown, mutate, noContent, ok, type Answer } from '../response.ts'
import { RouteGroup } from '../route-group.ts'
import { describedIn } from '../route.ts'

/** Of the picture as it is sent. */
const maxBytes = 2 * 1024 * 1024

/** The form of an upload, for the document: the handler reads it. */
const PictureForm = Type.Object({ file: Type.String({ format: 'binary' }) }, { additionalProperties: false })

/** As `multipartBody`, but the whole picture is held while it is looked at. */
const pictureBody = { ...multipartBody, maxBytes: maxBytes + multipartBody.maxBytes }

const detail = describedIn('Users')

const render = (user: User) => bodyTag(ok(user))

const extensions: Record<string, string> = {
  'image/png': 'png',
  'image/jpeg': 'jpg',
  'image/gif': 'gif',
  'image/webp': 'webp',
}

interface AvatarRouteDeps {
  config: Config
  log: Log
  db: CallerDatabase
  publisher: Publisher
  storage: Storage
  limiter: RateLimiter
}

export const avatarRoutes = (deps: AvatarRouteDeps) => {
  const { uploads } = policiesOf(deps.config)
  return new RouteGroup('/api/users')
    .put(
      '/me/avatar',
      async (context) => {
        await takeRateLimit(deps, context, uploads, context.actor.userId)
        // oxlint-disable-next-line typescript/no-unsafe-type-assertion -- what the reader of this route returns
        const body = context.body as unknown as MultipartBody
        const parts: Uint8Array[] = []
        await body.receiveFile({ maxBytes, write: (bytes) => void parts.push(bytes.slice()) })
        const sent = new Uint8Array(Buffer.concat(parts))
        const image = await acceptPicture(sent)
        const hash = new Bun.CryptoHasher('sha256').update(sent).digest('hex')
        return await mutate(context, render, (write) => setAvatar(deps, write, image), undefined, { hash })
      },
      {
        body: PictureForm,
        response: { 200: User },
        detail: detail('Set your picture: PNG, JPEG, GIF or WebP of at most 2 MiB', {
          idempotent: true,
          body: pictureBody,
          errors: ['file_too_large', 'unsupported_type'],
        }),
      },
    )
    .delete('/me/avatar', (context) => mutate(context, noContent, (write) => removeAvatar(deps, write)), {
      response: { 204: Type.Void() },
      detail: detail('Remove your picture', { idempotent: true, errors: ['not_found'] }),
    })
    .get(
      '/:id/avatar',
      async ({ actor, params, query, request, method }): Promise<Answer> => {
        const { key, contentType } = await getAvatar(deps, actor, params.id)
        const tag = avatarTagOf(key)
        const headers = {
          'Content-Type': contentType,
          'Content-Disposition': `attachment; filename="avatar.${extensions[contentType]}"`,
          // The path of the shape names one picture for good; without its `v` it is the present one.
          'Cache-Control': query.v === tag ? 'private, max-age=31536000, immutable' : 'private, no-cache',
          ETag: `"${tag}"`,
        }
        if (method === 'HEAD' || isKnown(request, headers.ETag)) return { status: 200, headers, body: null }
        const object = await deps.storage.get(key)
        if (!object) {
          deps.log.error({ key }, 'the object of a row is missing in the storage')
          throw notFound()
        }
        return { status: 200, headers, body: object.body }
      },
      {
        params: Type.Object({ id: Id() }),
        query: Type.Object(
          { v: Type.Optional(Text({ maxLength: 40, description: 'As in `avatarUrl`' })) },
          { additionalProperties: false },
        ),
        response: { 200: Type.String({ description: 'The bytes of the picture' }) },
        detail: detail('Read the picture of a user', { produces: Object.keys(extensions) }),
      },
    )
}
