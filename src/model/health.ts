// Responses of the health routes. A `degraded` process still accepts requests; `down` makes it unready.
import { Type, type Static } from '@sinclair/typebox'
import { Word } from './scalar.ts'

const PartStatus = Word('up', 'degraded', 'down', 'unknown')
const whole = { additionalProperties: false }

const Part = Type.Object({ status: PartStatus }, whole)
/** Why the part is degraded, where that is known. */
const Reason = Type.Optional(Type.String())

export const Liveness = Type.Object({ status: Word('up') }, whole)

export const Readiness = Type.Object(
  {
    status: Word('up', 'degraded', 'down'),
    parts: Type.Object(
      {
        process: PartStatus,
        postgres: PartStatus,
        migrations: PartStatus,
        redis: PartStatus,
        storage: PartStatus,
        feed: PartStatus,
      },
      whole,
    ),
    reasons: Type.Optional(Type.Object({ postgres: Reason, redis: Reason, storage: Reason }, whole)),
  },
  whole,
)
export type Readiness = Static<typeof Readiness>

export const Health = Type.Object(
  {
    status: Word('up', 'degraded', 'down'),
    version: Type.String(),
    uptimeSeconds: Type.Integer({ minimum: 0 }),
    parts: Type.Object(
      {
        process: Part,
        postgres: Type.Object(
          { status: PartStatus, latencyMs: Type.Optional(Type.Number()), reason: Reason },
          whole,
        ),
        migrations: Type.Object(
          { status: PartStatus, pending: Type.Optional(Type.Integer({ minimum: 0 })) },
          whole,
        ),
        redis: Type.Object({ status: PartStatus, reason: Reason }, whole),
        storage: Type.Object({ status: PartStatus, reason: Reason }, whole),
        feed: Type.Object({ status: PartStatus, lagMs: Type.Integer({ minimum: 0 }) }, whole),
      },
      whole,
    ),
  },
  whole,
)
export type Health = Static<typeof Health>

export const Version = Type.Object(
  { name: Type.String(), version: Type.String(), runtime: Type.String() },
  whole,
)
export type Version = Static<typeof Version>
