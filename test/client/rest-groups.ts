// The groups of the client's methods, as `createRest` returns them: a new group is in every test that goes through them.
import { createRest, type Rest } from '../../packages/client/src/http/rest.ts'

export type RestGroup = keyof Rest

// oxlint-disable-next-line typescript/no-unsafe-type-assertion -- nothing is called, and the keys of a literal are those of its type
export const restGroups = Object.keys(createRest({} as never, {} as never)) as RestGroup[]
