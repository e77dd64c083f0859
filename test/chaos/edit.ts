// Edits of source text, applied as a process loads it. Each must match exactly once: a variant that does not fit the
// source any more would test the unchanged product.

export interface Edit {
  /** Below src, or below node_modules where it begins so. */
  file: string
  /** Must match exactly once, in the text that the edits before it leave. */
  from: string
  to: string
}

/** A call at which the process can kill itself. */
export const point = (name: string): string => `globalThis.failpoint(${JSON.stringify(name)})`

/** @throws Error where an edit does not match exactly once. */
export const applyEdits = (text: string, edits: readonly Edit[]): string =>
  edits.reduce((contents, { file, from, to }) => {
    const times = contents.split(from).length - 1
    if (times !== 1) throw new Error(`an edit of ${file} matches ${times} times: ${from}`)
    return contents.replace(from, () => to)
  }, text)
