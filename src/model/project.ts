// Projects and their members. `role` is the caller's role and absent in log entries, which all members receive.
import { Kind, Type, TypeRegistry, type Static } from '@sinclair/typebox'
import { Id, Instant, Nullable, Word } from './scalar.ts'
import { AvatarUrl, Email, GivenEmail, Name, namesOnePerson } from './user.ts'
import { Text } from './text.ts'

/** In ascending order: each role includes the rights of the roles before it. */
export const memberRoles = ['viewer', 'editor', 'owner'] as const
export const MemberRole = Word(...memberRoles)
export type MemberRole = (typeof memberRoles)[number]

export const ProjectName = Text({ minLength: 1, maxLength: 100, examples: ['Apollo'] })
export const ProjectDescription = Text({ maxLength: 10_000, keepsSpace: true })

/** Accepted in either case, stored and returned in lower case (`toColor`). */
export const Color = Type.Unsafe<string>({
  [Kind]: 'Color',
  type: 'string',
  pattern: '^#[0-9A-Fa-f]{6}$',
  description: 'Hexadecimal, returned in lower case',
  examples: ['#1e90ff'],
})

TypeRegistry.Set('Color', (_schema, value) => typeof value === 'string' && /^#[0-9a-f]{6}$/i.test(value))

/** The stored form of a colour. */
export const toColor = (color: string): string => color.toLowerCase()

/** The project in log entries. */
export const ProjectEntry = Type.Object(
  {
    id: Id(),
    name: ProjectName,
    description: ProjectDescription,
    color: Nullable(Color),
    kind: Word('inbox', 'project'),
    archivedAt: Nullable(Instant()),
    memberCount: Type.Integer({ minimum: 1 }),
    version: Type.Integer({ minimum: 1 }),
    createdAt: Instant(),
    updatedAt: Instant(),
  },
  { additionalProperties: false },
)
export type ProjectEntry = Static<typeof ProjectEntry>

export const Project = Type.Object(
  { ...ProjectEntry.properties, role: MemberRole },
  { additionalProperties: false },
)
export type Project = Static<typeof Project>

/** `email` is present for admins only. */
export const Member = Type.Object(
  {
    userId: Id(),
    name: Name,
    avatarUrl: AvatarUrl,
    role: MemberRole,
    createdAt: Instant(),
    email: Type.Optional(Email),
  },
  { additionalProperties: false },
)
export type Member = Static<typeof Member>

export const NewProject = Type.Object(
  {
    name: ProjectName,
    description: Type.Optional(ProjectDescription),
    color: Type.Optional(Nullable(Color)),
  },
  { additionalProperties: false },
)
export type NewProject = Static<typeof NewProject>

/** RFC 7396 merge patch: null sets the default. */
export const ProjectPatch = Type.Object(
  {
    name: Type.Optional(ProjectName),
    description: Type.Optional(Nullable(ProjectDescription)),
    color: Type.Optional(Nullable(Color)),
  },
  { additionalProperties: false, minProperties: 1 },
)
export type ProjectPatch = Static<typeof ProjectPatch>

export const NewMember = Type.Object(
  { email: Type.Optional(GivenEmail), userId: Type.Optional(Id()), role: MemberRole },
  {
    additionalProperties: false,
    ...namesOnePerson,
    examples: [{ email: 'ada@example.com', role: 'editor' }],
  },
)
export type NewMember = Static<typeof NewMember>

export const MemberPatch = Type.Object({ role: MemberRole }, { additionalProperties: false })
export type MemberPatch = Static<typeof MemberPatch>
