// The path of a request as the log may hold it. Invariant: what clients make up does not get into it, such as a tag that
// is an e-mail address, or any path that no route has.

const id = String.raw`[\da-fA-F]{8}(?:-[\da-fA-F]{4}){3}-[\da-fA-F]{12}`
const idPattern = new RegExp(`^${id}$`)

/**
 * @param template of a route, or a name for all paths without one.
 * @returns a function that takes a path of the route: it is the template with the parameters that are ids filled in.
 */
export const loggedPathOf = (template: string): ((path: string) => string) => {
  if (!template.includes(':')) return () => template
  const names = template.split('/')
  // Most parameters are ids: such a path is written as it is.
  const ofIds = new RegExp(`^${template.replaceAll('.', String.raw`\.`).replaceAll(/:\w+/g, id)}$`)
  return (path) => {
    if (ofIds.test(path)) return path
    const values = path.split('/')
    return names
      .map((name, index) =>
        name.startsWith(':') && idPattern.test(values[index] ?? '') ? values[index] : name,
      )
      .join('/')
  }
}
