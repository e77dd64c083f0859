// The only way to declare a route: a group lists its routes, and `mount.ts` composes and registers each of them, so that
// no handler runs without the checks that its traits name.
import type { Static, TOptional, TSchema } from '@sinclair/typebox'
import type { RequestContext } from './request-context.ts'
import type { Answer } from './response.ts'
import { traitsOf, type RouteTraits } from './route.ts'
import type { RouteSchemas } from './violations.ts'

/** What a route declares beside its handler. */
export interface RouteHooks extends RouteSchemas {
  /** By status; for the OpenAPI document alone. */
  response?: Record<number, TSchema>
  /** As `describedIn` and `undocumented` make it. */
  detail?: object
}

/** A declared route. The names of the first three members are those that @elysiajs/swagger reads. */
export interface DeclaredRoute {
  method: string
  /** Parameters begin with a colon. */
  path: string
  hooks: RouteHooks
  traits: RouteTraits
  handle: RouteHandler
}

/** Undefined after an upgrade, which has no answer. */
export type RouteHandler = (context: RequestContext) => Handled

type Handled = Answer | undefined | Promise<Answer | undefined>

type Input<S> = S extends TSchema ? Static<S> : unknown

/** The context with the input as the schemas of the route describe it. */
export type ContextOf<H extends RouteHooks> = RequestContext<
  Input<H['params']>,
  Input<H['query']>,
  H['body'] extends TOptional<infer S extends TSchema> ? Static<S> | undefined : Input<H['body']>
>

type Declare = <const H extends RouteHooks>(
  path: string,
  handle: (context: ContextOf<H>) => Handled,
  hooks?: H,
) => RouteGroup

export class RouteGroup {
  readonly routes: DeclaredRoute[] = []

  /** @param prefix of every path; @param shared what every route of the group declares. */
  constructor(
    private readonly prefix = '',
    private readonly shared: RouteHooks = {},
  ) {}

  readonly get: Declare = (path, handle, hooks) => this.#declare('GET', path, handle, hooks)
  readonly post: Declare = (path, handle, hooks) => this.#declare('POST', path, handle, hooks)
  readonly put: Declare = (path, handle, hooks) => this.#declare('PUT', path, handle, hooks)
  readonly patch: Declare = (path, handle, hooks) => this.#declare('PATCH', path, handle, hooks)
  readonly delete: Declare = (path, handle, hooks) => this.#declare('DELETE', path, handle, hooks)

  #declare<H extends RouteHooks>(
    method: string,
    path: string,
    handle: (context: ContextOf<H>) => Handled,
    own: H | undefined,
  ): this {
    const hooks = { ...this.shared, ...own }
    this.routes.push({
      method,
      path: this.prefix + path,
      hooks,
      traits: traitsOf({ hooks }),
      // oxlint-disable-next-line typescript/no-unsafe-type-assertion -- the pipeline checks the input against these hooks first
      handle: handle as RouteHandler,
    })
    return this
  }
}
