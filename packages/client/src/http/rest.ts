// Every endpoint, typed by the model's shapes and grouped as the API's paths are. Reads and writes are retried where
// that is safe; a write that names `ifVersion` and loses throws ConflictError with both sides.
import type { Invitation, NewInvitation } from '../../../../src/model/invitation.ts'
import type {
  AccountPatch,
  NewAccount,
  PasswordChange,
  PasswordReset,
  Registration,
  SignIn,
  UserPatch,
} from '../../../../src/model/credentials.ts'
import type { Activity, ActivityType } from '../../../../src/model/activity.ts'
import type { IssuedToken, NewPersonalToken, PersonalToken } from '../../../../src/model/personal-token.ts'
import type { Comment, CommentPatch, NewComment } from '../../../../src/model/comment.ts'
import type { Notification, Preferences, PreferencesPatch } from '../../../../src/model/notification.ts'
import type {
  Member,
  MemberRole,
  NewMember,
  NewProject,
  Project,
  ProjectPatch,
} from '../../../../src/model/project.ts'
import type { ProjectSnapshot, UserSnapshot } from '../../../../src/model/snapshot.ts'
import type { TaskStatistics } from '../../../../src/model/statistics.ts'
import type {
  NewShare,
  NewTask,
  Priority,
  Share,
  Status,
  Task,
  TaskMove,
  TaskPatch,
  TaskReplacement,
} from '../../../../src/model/task.ts'
import type {
  Account,
  PublicUser,
  Session as SessionRow,
  SessionAnswer,
  User,
} from '../../../../src/model/user.ts'
import { ApiError, ConflictError, SignedOutError } from '../errors.ts'
import type { Call, CallOptions } from './request.ts'
import { isNotFound, type HttpClient } from './http-client.ts'
import { list, type List, type Page, type PageQuery } from './pages.ts'
import { path, type Path } from './path.ts'
import { createAttachments } from './attachments.ts'
import type { Session } from '../session.ts'

export interface GuardedOptions extends CallOptions {
  /** Writes only if no writable field changed since this version. */
  ifVersion?: number | undefined
}

type SortField = 'createdAt' | 'updatedAt' | 'dueAt' | 'priority' | 'title' | 'status' | 'rank'

export interface TaskQuery extends PageQuery {
  projectId?: string
  parentId?: string
  status?: Status | readonly Status[]
  priority?: Priority | readonly Priority[]
  /** An id, `me` or `none`. */
  assigneeId?: string
  creatorId?: string
  /** All of these. */
  tag?: string | readonly string[]
  completed?: boolean
  overdue?: boolean
  shared?: boolean
  search?: string
  createdAfter?: string
  createdBefore?: string
  updatedAfter?: string
  updatedBefore?: string
  dueAfter?: string
  dueBefore?: string
  sort?: SortField | `-${SortField}`
}

export interface ActivityQuery extends PageQuery {
  projectId?: string
  taskId?: string
  actorId?: string
  type?: ActivityType | readonly ActivityType[]
  /** Inclusive. */
  after?: string
  /** Exclusive. */
  before?: string
}

export type Operation =
  | { op: 'create'; data: NewTask }
  | { op: 'update'; id: string; data: TaskPatch; ifVersion?: number }
  | { op: 'delete'; id: string; ifVersion?: number }

export interface Inbox extends Page<Notification> {
  unreadCount: number
}

export type Rest = ReturnType<typeof createRest>

export const createRest = (http: HttpClient, session: Session) => {
  const get = <T>(path: Path, options: CallOptions = {}, query?: Call['query']): Promise<T> =>
    http.value<T>({ method: 'GET', path, query, ...options })

  const write = <T>(
    method: Call['method'],
    path: Path,
    body?: unknown,
    options: CallOptions = {},
  ): Promise<T> => http.value<T>({ method, path, body, ...options })

  /** A conditional write; after a conflict it reads the other side for the error. */
  const guarded = async <T>(
    method: Call['method'],
    path: Path,
    body: unknown,
    { ifVersion, ...options }: GuardedOptions = {},
  ): Promise<T> => {
    try {
      return await http.value<T>({ method, path, body, ifMatch: ifVersion, ...options })
    } catch (error) {
      if (!(error instanceof ApiError && error.status === 412)) throw error
      const theirs = await get<unknown>(path, options).catch((reason: unknown) => {
        if (isNotFound(reason)) return null
        throw reason
      })
      throw new ConflictError(error.problem, { version: ifVersion ?? 0, changes: body ?? null }, theirs)
    }
  }

  const anonymous = async (path: Path, body: unknown, signal?: AbortSignal): Promise<void> => {
    await http.sendAnonymously<null>({ method: 'POST', path, body, signal })
  }

  const signedIn = async (path: Path, body: unknown, signal?: AbortSignal): Promise<User> => {
    const { value } = await http.sendAnonymously<SessionAnswer>({ method: 'POST', path, body, signal })
    await session.adopt(value)
    return value.user
  }

  return {
    auth: {
      /** Creates an account and signs in. */
      register: (input: Registration, signal?: AbortSignal) =>
        signedIn(path`/api/auth/register`, input, signal),
      signIn: (input: SignIn, signal?: AbortSignal) => signedIn(path`/api/auth/login`, input, signal),
      /**
       * Ends this session: in this client with its live views in any case; on the server if that can be reached, else it
       * throws NetworkError and the server ends the session when it expires.
       */
      async signOut(options: CallOptions = {}): Promise<void> {
        try {
          await write<null>('POST', path`/api/auth/logout`, undefined, options)
        } catch (error) {
          if (!(error instanceof SignedOutError)) throw error // it was over already
        } finally {
          await session.forget()
        }
      },
      /** On every device; throws if the server cannot be reached, and nothing has changed then. */
      async signOutEverywhere(options: CallOptions = {}): Promise<void> {
        await write<null>('POST', path`/api/auth/logout-all`, undefined, options)
        await session.forget()
      },
      sessions: () => list<SessionRow>(http, path`/api/auth/sessions`),
      endSession: (sessionId: string, options?: CallOptions) =>
        write<null>('DELETE', path`/api/auth/sessions/${sessionId}`, undefined, options),
      /** Personal access tokens, newest first; only a signed-in user has access to them. */
      tokens: () => list<PersonalToken>(http, path`/api/auth/tokens`),
      /** `token` is in this answer only. Not repeated: the token of a lost answer would stay unknown. */
      createToken: (token: NewPersonalToken, { signal }: Pick<CallOptions, 'signal'> = {}) =>
        http.value<IssuedToken>({
          method: 'POST',
          path: path`/api/auth/tokens`,
          body: token,
          key: null,
          signal,
        }),
      deleteToken: (tokenId: string, options?: CallOptions) =>
        write<null>('DELETE', path`/api/auth/tokens/${tokenId}`, undefined, options),
      /** Sends a link for a new password; resolves in the same way where the address has no account. */
      requestPasswordReset: (email: string, signal?: AbortSignal) =>
        anonymous(path`/api/auth/password-reset/request`, { email }, signal),
      /** Sets a new password by the token of a link. All sessions end: sign in with it. */
      resetPassword: (reset: PasswordReset, signal?: AbortSignal) =>
        anonymous(path`/api/auth/password-reset/confirm`, reset, signal),
      /** Sends a link that verifies the address of the signed-in user. */
      requestVerification: (options?: CallOptions) =>
        write<null>('POST', path`/api/auth/email/verify/request`, undefined, options),
      /** Verifies an address by the token of a link, signed in or not. */
      verifyEmail: (token: string, signal?: AbortSignal) =>
        anonymous(path`/api/auth/email/verify/confirm`, { token }, signal),
    },

    users: {
      me: (options?: CallOptions) => get<User>(path`/api/users/me`, options),
      updateMe: (changes: UserPatch, options?: CallOptions) =>
        write<User>('PATCH', path`/api/users/me`, changes, options),
      async deleteMe(password: string, { signal }: Pick<CallOptions, 'signal'> = {}): Promise<void> {
        // Not repeated: the second attempt would have no account to authenticate.
        const call = {
          method: 'DELETE',
          path: path`/api/users/me`,
          body: { password },
          key: null,
          signal,
        } as const
        await http.send<null>(call)
        await session.forget()
      },
      /** PNG, JPEG, GIF or WebP of at most 2 MiB; its metadata is removed. */
      setAvatar: (picture: Blob, options?: CallOptions) => {
        const form = new FormData()
        form.set('file', picture, 'picture')
        return write<User>('PUT', path`/api/users/me/avatar`, form, options)
      },
      /** The picture of a user, to be shown by `URL.createObjectURL`; rejects with `not_found` where there is none. */
      avatar: (userId: string, { signal }: Pick<CallOptions, 'signal'> = {}) =>
        http.value<Blob>({
          method: 'GET',
          path: path`/api/users/${userId}/avatar`,
          isBinary: true,
          signal,
        }),
      removeAvatar: (options?: CallOptions) =>
        write<null>('DELETE', path`/api/users/me/avatar`, undefined, options),
      changePassword: (change: PasswordChange, options?: CallOptions) =>
        write<User>('PUT', path`/api/users/me/password`, change, options),
      snapshot: (options?: CallOptions) => get<UserSnapshot>(path`/api/users/me/snapshot`, options),
      search: (q: string, query: { limit?: number } = {}) =>
        list<PublicUser>(http, path`/api/users/search`, { q, ...query }),
      get: (userId: string, options?: CallOptions) => get<PublicUser>(path`/api/users/${userId}`, options),
    },

    /** For admins. */
    accounts: {
      list: (query: PageQuery = {}) => list<Account>(http, path`/api/users`, { ...query }),
      create: (account: NewAccount, options?: CallOptions) =>
        write<Account>('POST', path`/api/users`, account, options),
      get: (userId: string, options?: CallOptions) => get<Account>(path`/api/users/${userId}`, options),
      update: (userId: string, changes: AccountPatch, options?: CallOptions) =>
        write<Account>('PATCH', path`/api/users/${userId}`, changes, options),
      delete: (userId: string, options?: CallOptions) =>
        write<null>('DELETE', path`/api/users/${userId}`, undefined, options),
    },

    /** For admins: who may register where registration is by invitation. */
    invitations: {
      list: (query: PageQuery = {}) => list<Invitation>(http, path`/api/invitations`, { ...query }),
      create: (invitation: NewInvitation, options?: CallOptions) =>
        write<Invitation>('POST', path`/api/invitations`, invitation, options),
      withdraw: (invitationId: string, options?: CallOptions) =>
        write<null>('DELETE', path`/api/invitations/${invitationId}`, undefined, options),
    },

    projects: {
      list: (query: PageQuery & { archived?: boolean } = {}) =>
        list<Project>(http, path`/api/projects`, { ...query }),
      create: (input: NewProject, options?: CallOptions) =>
        write<Project>('POST', path`/api/projects`, input, options),
      get: (projectId: string, options?: CallOptions) =>
        get<Project>(path`/api/projects/${projectId}`, options),
      update: (projectId: string, changes: ProjectPatch, options?: GuardedOptions) =>
        guarded<Project>('PATCH', path`/api/projects/${projectId}`, changes, options),
      delete: (projectId: string, options?: GuardedOptions) =>
        guarded<null>('DELETE', path`/api/projects/${projectId}`, undefined, options),
      archive: (projectId: string, options?: CallOptions) =>
        write<Project>('POST', path`/api/projects/${projectId}/archive`, undefined, options),
      unarchive: (projectId: string, options?: CallOptions) =>
        write<Project>('POST', path`/api/projects/${projectId}/unarchive`, undefined, options),
      snapshot: (
        projectId: string,
        { limit, after, ...options }: CallOptions & { limit?: number; after?: string } = {},
      ) => get<ProjectSnapshot>(path`/api/projects/${projectId}/snapshot`, options, { limit, after }),
      members: (projectId: string, query: PageQuery = {}) =>
        list<Member>(http, path`/api/projects/${projectId}/members`, { ...query }),
      addMember: (projectId: string, member: NewMember, options?: CallOptions) =>
        write<Member>('POST', path`/api/projects/${projectId}/members`, member, options),
      changeMember: (projectId: string, userId: string, role: MemberRole, options?: CallOptions) =>
        write<Member>('PATCH', path`/api/projects/${projectId}/members/${userId}`, { role }, options),
      removeMember: (projectId: string, userId: string, options?: CallOptions) =>
        write<null>('DELETE', path`/api/projects/${projectId}/members/${userId}`, undefined, options),
    },

    tasks: {
      list: ({ status, priority, ...query }: TaskQuery = {}): List<Task> =>
        list<Task>(http, path`/api/tasks`, { ...query, status: commas(status), priority: commas(priority) }),
      create: (input: NewTask, options?: CallOptions) =>
        write<Task>('POST', path`/api/tasks`, input, options),
      get: (taskId: string, options?: CallOptions) => get<Task>(path`/api/tasks/${taskId}`, options),
      /** Of one project, or of everything the user may read; exact at `asOf`. */
      stats: ({ projectId, ...options }: CallOptions & { projectId?: string } = {}) =>
        get<TaskStatistics>(path`/api/tasks/stats`, options, { projectId }),
      update: (taskId: string, changes: TaskPatch, options?: GuardedOptions) =>
        guarded<Task>('PATCH', path`/api/tasks/${taskId}`, changes, options),
      replace: (taskId: string, task: TaskReplacement, options?: GuardedOptions) =>
        guarded<Task>('PUT', path`/api/tasks/${taskId}`, task, options),
      delete: (taskId: string, options?: GuardedOptions) =>
        guarded<null>('DELETE', path`/api/tasks/${taskId}`, undefined, options),
      move: (taskId: string, to: TaskMove, options?: CallOptions) =>
        write<Task>('POST', path`/api/tasks/${taskId}/move`, to, options),
      addTags: (taskId: string, tags: string[], options?: CallOptions) =>
        write<Task>('POST', path`/api/tasks/${taskId}/tags`, { tags }, options),
      removeTag: (taskId: string, tag: string, options?: CallOptions) =>
        write<null>('DELETE', path`/api/tasks/${taskId}/tags/${tag}`, undefined, options),
      /** All or none, in the order of `ids`. */
      updateMany: (ids: string[], changes: TaskPatch, options?: CallOptions) =>
        write<{ items: Task[] }>('PATCH', path`/api/tasks/bulk`, { ids, changes }, options),
      /** All or nothing, in order; null stands for a deletion. */
      batch: (operations: Operation[], options?: CallOptions) =>
        write<{ items: (Task | null)[] }>('POST', path`/api/tasks/batch`, { operations }, options),
      shares: (taskId: string, query: PageQuery = {}) =>
        list<Share>(http, path`/api/tasks/${taskId}/shares`, { ...query }),
      share: (taskId: string, share: NewShare, options?: CallOptions) =>
        write<Share>('POST', path`/api/tasks/${taskId}/shares`, share, options),
      changeShare: (taskId: string, userId: string, permission: Share['permission'], options?: CallOptions) =>
        write<Share>('PATCH', path`/api/tasks/${taskId}/shares/${userId}`, { permission }, options),
      removeShare: (taskId: string, userId: string, options?: CallOptions) =>
        write<null>('DELETE', path`/api/tasks/${taskId}/shares/${userId}`, undefined, options),
      /** Oldest first. */
      comments: (taskId: string, query: PageQuery = {}) =>
        list<Comment>(http, path`/api/tasks/${taskId}/comments`, { ...query }),
      comment: (taskId: string, comment: NewComment, options?: CallOptions) =>
        write<Comment>('POST', path`/api/tasks/${taskId}/comments`, comment, options),
    },

    attachments: createAttachments(http),

    /** With `ifVersion` a lost conflict is an ApiError `version_conflict`: a comment is read in its list only. */
    comments: {
      update: (commentId: string, changes: CommentPatch, { ifVersion, ...options }: GuardedOptions = {}) =>
        http.value<Comment>({
          method: 'PATCH',
          path: path`/api/comments/${commentId}`,
          body: changes,
          ifMatch: ifVersion,
          ...options,
        }),
      delete: (commentId: string, { ifVersion, ...options }: GuardedOptions = {}) =>
        http.value<null>({
          method: 'DELETE',
          path: path`/api/comments/${commentId}`,
          ifMatch: ifVersion,
          ...options,
        }),
    },

    activity: {
      /** Newest first; of all projects and shares without `projectId` and `taskId`. */
      list: ({ type, ...query }: ActivityQuery = {}) =>
        list<Activity>(http, path`/api/activity`, { ...query, type: commas(type) }),
      ofTask: (taskId: string, query: PageQuery = {}) =>
        list<Activity>(http, path`/api/tasks/${taskId}/activity`, { ...query }),
    },

    notifications: {
      list: (query: PageQuery & { unread?: boolean } = {}) =>
        list<Notification, Inbox>(http, path`/api/notifications`, { ...query }),
      read: (notificationId: string, options?: CallOptions) =>
        write<Notification>('POST', path`/api/notifications/${notificationId}/read`, undefined, options),
      readAll: (options?: CallOptions) =>
        write<{ upTo: string | null; unreadCount: number }>(
          'POST',
          path`/api/notifications/read-all`,
          undefined,
          options,
        ),
      preferences: (options?: CallOptions) => get<Preferences>(path`/api/notifications/preferences`, options),
      updatePreferences: (changes: PreferencesPatch, options?: CallOptions) =>
        write<Preferences>('PATCH', path`/api/notifications/preferences`, changes, options),
    },
  }
}

const commas = (words: string | readonly string[] | undefined): string | undefined =>
  typeof words === 'string' ? words : words?.join(',')
