// The cost of work in CPU time of this process, which other load of the machine does not lengthen as it does clock time.

/** Milliseconds of CPU that one of `times` runs of `work` takes, the least of up to three rounds. */
export const cpuMsOf = async (
  work: () => Promise<unknown>,
  { times = 1, enough = 0 }: { times?: number; enough?: number } = {},
): Promise<number> => {
  let least = Infinity
  for (let round = 0; round < 3 && least > enough; round += 1) {
    const before = process.cpuUsage()
    for (let run = 0; run < times; run += 1) await work()
    const { user, system } = process.cpuUsage(before)
    least = Math.min(least, (user + system) / 1000 / times)
  }
  return least
}
