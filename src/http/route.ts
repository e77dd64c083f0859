// What a route declares besides its schemas: access, reading of the body, conditions and problems. Declared
// once, in the `detail` of the route; the pipeline and the OpenAPI document read it there. A route that declares nothing
// requires a bearer token, counts against the request limit and reads JSON.
import type { ErrorCode } from '../errors.ts'
import { jsonBody } from './body/json.ts'
import type { BodyReader } from './body/reader.ts'

export interface RouteTraits {
  /**
   * `bearer`: a session, or a personal access token whose scopes permit the method. `session`: a session alone, for what
   * concerns credentials, the account or administration. `admin`: the session of an administrator, which a page below
   * /admin may also bring as a cookie. `public`: answers without credentials.
   */
  access: 'bearer' | 'session' | 'admin' | 'public'
  /** Of a public route: credentials that it reads where the request brings them, as the OpenAPI document names them. */
  optionalCredentials: readonly ('bearer' | 'refreshCookie')[]
  /** Of a page: where a browser without credentials is sent. */
  signInPage: string | null
  /** `requests`: the limit of all requests. `own`: the route has a limit of its own. `none`: not limited. */
  rateLimit: 'requests' | 'own' | 'none'
  /** Takes `Idempotency-Key`. */
  idempotent: boolean
  /** Whether what the write changes has an entry, so that its answer carries `Tide-Cursor`; of an idempotent route. */
  isLogged: boolean
  /** Takes `If-Match`: 412 `version_conflict` where the version has changed. */
  versioned: boolean
  /** A write whose answer may be large: the answer waits in memory until the client reads it, so few run at once. */
  isLarge: boolean
  /** Codes besides those that follow from access, schemas, method and the traits above. */
  errors: readonly ErrorCode[]
  /** How the body is read; a route without a `body` schema accepts no member of it. */
  body: BodyReader
  /** Media types of the answers with 2xx; their `response` schema describes their content. */
  produces: string | readonly string[]
}

const defaults: RouteTraits = {
  access: 'bearer',
  optionalCredentials: [],
  signInPage: null,
  rateLimit: 'requests',
  idempotent: false,
  isLogged: true,
  versioned: false,
  isLarge: false,
  errors: [],
  body: jsonBody,
  produces: 'application/json',
}

/** The member of `detail` that holds the traits; the document leaves it out. */
export const traitsKey = 'x-traits'

/** The `detail` of the routes under one tag of the OpenAPI document. */
export const describedIn =
  (tag: string) =>
  (summary: string, traits: Partial<RouteTraits> = {}) => ({ tags: [tag], summary, [traitsKey]: traits })

/** The `detail` of a route that the OpenAPI document leaves out. */
export const undocumented = (traits: Partial<RouteTraits> = {}) => ({ hide: true, [traitsKey]: traits })

/** The traits of a route as Elysia lists it, with the defaults filled in. */
export const traitsOf = ({ hooks }: { hooks: { detail?: object } }): RouteTraits => {
  const declared: unknown = hooks.detail && Reflect.get(hooks.detail, traitsKey)
  // oxlint-disable-next-line typescript/no-unsafe-type-assertion -- only the functions above write this member
  return { ...defaults, ...(declared as Partial<RouteTraits> | undefined) }
}

/** The traits of a path without a route: one of the API costs the caller the same as a route, others are not limited. */
export const traitsOfUnknown = (path: string): RouteTraits =>
  path.startsWith('/api/') ? defaults : { ...defaults, access: 'public', rateLimit: 'none' }
