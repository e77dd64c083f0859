// Lines of logs that are read again and again. The files are joined in any order, so that a position in all lines says
// nothing: a process that logs into an earlier file moves the lines of the others.

/** Those beyond the lines of before; a line that was there once may be new the second time. */
export const addedLines = (before: readonly string[], after: readonly string[]): string[] => {
  const left = new Map<string, number>()
  for (const line of before) left.set(line, (left.get(line) ?? 0) + 1)
  return after.filter((line) => {
    const count = left.get(line) ?? 0
    if (count > 0) left.set(line, count - 1)
    return count === 0
  })
}

/** Errors that nothing caught, shortened. */
export const unhandled = (lines: readonly string[]): string[] =>
  lines.filter((line) => /unhandled|uncaught/i.test(line)).map((line) => line.slice(0, 300))
