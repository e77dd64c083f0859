// Reads the two files that decide what an image is made of: the instructions of a Dockerfile, and what its
// .dockerignore lets into the build. Covers what this project uses; anything else throws.

export interface Instruction {
  name: string
  /** What follows the name, with continued lines joined. */
  text: string
}

/** The instructions in their order, without comments. */
export const parseDockerfile = (source: string): Instruction[] =>
  source
    .replaceAll(/^\s*#.*\n/gm, '')
    .replaceAll(/\\\n\s*/g, '')
    .split('\n')
    .filter((line) => line.trim() !== '')
    .map((line) => {
      const [, name, text] = /^([A-Z]+)\s+(.*)$/.exec(line.trim()) ?? []
      if (name === undefined || text === undefined) throw new Error(`no instruction: ${line}`)
      return { name, text }
    })

/** The words of an instruction's JSON form, such as `["bun", "src/main.ts"]`. */
export const wordsOf = (text: string): string[] => {
  const words: unknown = JSON.parse(text)
  if (!Array.isArray(words) || words.some((word) => typeof word !== 'string'))
    throw new Error(`not a list of words: ${text}`)
  return words
}

/** `A=1 B=2` as a record. Values are not quoted here. */
export const variablesOf = (text: string): Record<string, string> =>
  Object.fromEntries(
    text.split(/\s+/).map((pair) => {
      const at = pair.indexOf('=')
      return [pair.slice(0, at), pair.slice(at + 1)]
    }),
  )

/**
 * Whether a .dockerignore lets a path into the build: the last pattern that matches the path or a folder above it
 * decides, `!` lets in.
 */
export const readIgnore = (source: string): ((path: string) => boolean) => {
  const patterns = source
    .split('\n')
    .map((line) => line.trim())
    .filter((line) => line !== '' && !line.startsWith('#'))
    .map((line) => {
      const isException = line.startsWith('!')
      const pattern = line.slice(isException ? 1 : 0).replaceAll(/^\/|\/$/g, '')
      return { isException, glob: new Bun.Glob(pattern) }
    })
  return (path) => {
    const parts = path.split('/')
    const prefixes = parts.map((_, index) => parts.slice(0, index + 1).join('/'))
    const last = patterns.findLast(({ glob }) => prefixes.some((prefix) => glob.match(prefix)))
    return last?.isException ?? true
  }
}
