// Tasktide's client: REST and live data in one object, for browsers, Bun and Node. Views and calls share one connection,
// one session and one queue of unsent writes; `close` ends them.
import { Connection, type ConnectionStatus } from './connection/connection.ts'
import type { Fetch } from './http/request.ts'
import { HttpClient } from './http/http-client.ts'
import { PersistedViews, type ViewStorage } from './views/persisted-views.ts'
import { EventFeed } from './events/event-feed.ts'
import { memoryStorage } from './memory-storage.ts'
import { Outbox, type OutboxOptions, type OutboxStorage } from './outbox/outbox.ts'
import { PollTransport } from './connection/poll-transport.ts'
import { Presence } from './connection/presence.ts'
import { ProjectView } from './views/project-view.ts'
import { createRest, type Rest } from './http/rest.ts'
import { Session, type SessionOptions } from './session.ts'
import { SocketTransport, type OpenSocket, type Socket } from './connection/socket-transport.ts'
import type { Transport } from './connection/transport.ts'
import type { TransportOwner } from './connection/transport-owner.ts'
import { timing as defaultTiming, type Timing } from './timing.ts'
import type { LiveViewDeps } from './views/live-view.ts'
import type { ProjectModelDeps } from './views/project-model.ts'
import { UserView } from './views/user-view.ts'
import type { FeedListener } from './events/feed-listener.ts'

export interface ClientOptions extends SessionOptions, Pick<OutboxOptions, 'onConflict' | 'onRefused'> {
  /** Of the server, such as `https://tasks.example.com`; in a page also relative to it. */
  url: string
  /** `auto` polls where sockets do not open, or there are none. */
  transport?: 'auto' | 'socket' | 'poll'
  /** Stores unsent writes; in memory by default. */
  outbox?: OutboxStorage
  /**
   * Stores the last state of views: the next run shows it at once, marked stale, until the server has answered.
   * Without it nothing is stored. May be the same object as `outbox`.
   */
  views?: ViewStorage
  fetch?: Fetch
  /** As `globalThis.WebSocket`; Node 20 has none and polls. */
  WebSocket?: new (url: string, protocols: string[]) => Socket
  timing?: Partial<Timing>
}

export interface LiveOptions {
  /** Ends the view or presence when it aborts, in place of `close`. */
  signal?: AbortSignal | undefined
}

export interface Client extends Rest, Disposable {
  /**
   * A project. `live()` opens its view: one view for all callers, closed when each has closed it.
   *
   * @example
   *   const view = client.project(projectId).live()
   *   view.onChange(() => render(view.current.tasks, view.state))
   *   await view.ready
   */
  project(id: string): {
    live(options?: LiveOptions): ProjectView
    presence(options?: LiveOptions): Presence
  }
  task(id: string): { presence(options?: LiveOptions): Presence }
  /** The view of the signed-in user: projects, tasks shared with them, notifications. */
  live(options?: LiveOptions): UserView
  /**
   * The events of scopes as the log has them, over a socket of their own. Throws TypeError where there is no WebSocket.
   *
   * @example
   *   using feed = client.events({ onEvent: ({ type, id }) => console.log(type, id) })
   *   feed.follow('user:me')
   *   feed.follow(`project:${projectId}`, savedCursor)
   */
  events(listener: FeedListener): EventFeed
  /** The connection of views and presences: `waiting` between two attempts, `stopped` until `reconnect`. */
  readonly connection: ConnectionStatus
  /** Writes that are not settled, oldest first. */
  readonly outbox: Pick<Outbox, 'pending' | 'onChange'>
  readonly session: Pick<
    Session,
    'userId' | 'tokens' | 'adopt' | 'token' | 'renewCurrent' | 'forget' | 'onChange'
  >
  /** Reconnects at once, also after a stop; views that have stopped are opened again by the program. */
  reconnect(): void
  /** Ends everything; unsent writes stay in the storage. */
  close(): void
}

/**
 * Creates a client. It opens no connection before something is live. The protocol is described in `docs/protocol.md`.
 *
 * @throws TypeError for a `url` that is not http or https, and for `transport: 'socket'` without a WebSocket.
 * @example
 *   const client = createClient({ url: 'https://tasks.example.com', useCookie: true })
 *   await client.auth.signIn({ email, password })
 *   const task = await client.tasks.create({ title: 'Write the report' })
 */
export const createClient = (options: ClientOptions): Client => {
  const timing: Timing = { ...defaultTiming, ...options.timing }
  const url = baseUrl(options.url)
  const send: Fetch = options.fetch ?? ((input, init) => fetch(input, init))
  const target = { url, fetch: send, timeoutMs: timing.requestMs }
  const session = new Session(target, timing, options)
  const http = new HttpClient(target, session, timing)
  const { transport = 'auto' } = options
  const open = transport === 'poll' ? null : socketOpener(options)
  if (transport === 'socket' && !open) throw new TypeError(noSocketText)
  const openSocket = (open: OpenSocket, owner: TransportOwner): Transport =>
    new SocketTransport({ url: socketUrl(url), open, session, timing }, owner)
  const connection = new Connection({
    session,
    timing,
    createTransport: (kind, owner, pollForMs) => {
      if (!open) return new PollTransport(http, timing, owner, Number.POSITIVE_INFINITY)
      if (kind === 'poll' && transport !== 'socket') return new PollTransport(http, timing, owner, pollForMs)
      return openSocket(open, owner)
    },
  })
  /** Of views and of each event feed. */
  const connections = new Set([connection])
  const persisted = new PersistedViews(options.views ?? null, session, timing)
  const outbox = new Outbox(http, session, timing, {
    storage: options.outbox ?? memoryStorage(),
    onConflict: options.onConflict,
    onRefused: options.onRefused,
    shownOwner: () => persisted.owner,
  })
  let userView: UserView | null = null
  let lastUserId: string | null = null
  const deps: LiveViewDeps & ProjectModelDeps = {
    http,
    connection,
    outbox,
    persisted,
    session,
    timing,
    onProject: (project) => userView?.onProject(project),
  }
  const views = new Map<string, ProjectView>()

  const wakeAll = (): void => {
    session.clearRefusal()
    for (const one of connections) one.wake()
    // If the storage cannot be read, the first write rejects with that error.
    outbox.wake().catch(() => {})
  }
  const leave = [
    connection.onChange(() => {
      if (connection.state === 'open') outbox.wake().catch(() => {})
    }),
    session.onChange(() => {
      // Views opened for one user are not shown to the next.
      const shown = lastUserId ?? persisted.owner
      if (session.userId === null || (shown !== null && session.userId !== shown)) persisted.clear()
      if (shown !== null && session.userId !== shown) for (const one of connections) one.signOut()
      lastUserId = session.userId
      for (const one of connections)
        if (lastUserId !== null && one.stopped?.reason === 'signed_out') one.wake()
      outbox.wake().catch(() => {})
    }),
    onNetwork(wakeAll, () => {
      for (const one of connections) one.probe()
    }),
  ]
  outbox.wake().catch(() => {})

  const close = (): void => {
    for (const stop of leave) stop()
    for (const one of connections) one[Symbol.dispose]()
    outbox[Symbol.dispose]()
  }

  return {
    ...createRest(http, session),
    project: (id) => ({
      live: ({ signal } = {}) => {
        const open = views.get(id)
        const view = open && open.state !== 'stopped' ? open : new ProjectView(id, deps)
        for (const [key, { state }] of views) if (state === 'stopped') views.delete(key)
        views.set(id, view)
        return view.retain(signal)
      },
      presence: ({ signal } = {}) => new Presence(`project:${id}`, connection, signal),
    }),
    task: (id) => ({ presence: ({ signal } = {}) => new Presence(`task:${id}`, connection, signal) }),
    live: ({ signal } = {}) => {
      userView = userView && userView.state !== 'stopped' ? userView : new UserView(deps)
      return userView.retain(signal)
    },
    events: (listener) => {
      if (!open) throw new TypeError(noSocketText)
      const own = new Connection({
        session,
        timing,
        createTransport: (_kind, owner) => openSocket(open, owner),
      })
      connections.add(own)
      return new EventFeed(listener, own, () => void connections.delete(own))
    },
    connection,
    outbox,
    session,
    reconnect: wakeAll,
    close,
    [Symbol.dispose]: close,
  }
}

const noSocketText = 'There is no WebSocket here: give the client one, or let it poll'

/** The address of sockets: `https` becomes `wss`, also behind proxies, which use TLS for both or for neither. */
const socketUrl = (url: string): string => `${url.replace(/^http/, 'ws')}/api/ws`

/** The server's address without a slash at its end; relative ones are the page's. @throws TypeError for none. */
const baseUrl = (text: string): string => {
  const { protocol, host, pathname } = new URL(
    text,
    typeof location === 'undefined' ? undefined : location.href,
  )
  if (protocol !== 'http:' && protocol !== 'https:')
    throw new TypeError(`The url of the server begins with http or https, not ${protocol}`)
  return `${protocol}//${host}${pathname.replace(/\/+$/, '')}`
}

const socketOpener = ({ WebSocket: given }: ClientOptions): OpenSocket | null => {
  const Constructor = given ?? (typeof WebSocket === 'undefined' ? undefined : WebSocket)
  return Constructor ? (url, protocols) => new Constructor(url, protocols) : null
}

/** Follows the browser's reports that the network is back, lost or changed. */
const onNetwork = (back: () => void, changed: () => void): (() => void) => {
  if (typeof window === 'undefined' || typeof window.addEventListener !== 'function') return () => {}
  const handlers = [
    ['online', back],
    ['online', changed],
    ['offline', changed],
  ] as const
  for (const [name, listener] of handlers) window.addEventListener(name, listener)
  return () => {
    for (const [name, listener] of handlers) window.removeEventListener(name, listener)
  }
}
