// What a run shows: a table of operations and statuses, and the same as JSON.
import { join } from 'node:path'
import { printTable } from '../oracle/table.ts'
import type { FuzzResult } from './run.ts'

export const printResult = ({ counts, kinds, violations, ...result }: FuzzResult): void => {
  printTable([
    ['operation', 'requests, and how many were answered with each status'],
    ...byName(counts).map(([name, of]): [string, string] => [
      name,
      `${String(sumOf(of)).padStart(6)}  ${statusesOf(of)}`,
    ]),
  ])
  console.log(
    `\n${[...kinds].map(([kind, count]) => `${count} ${kind}`).join(', ')}; 503 with Retry-After: ${result.overloaded}; slowest: ${Math.round(result.slowestMs)} ms`,
  )
  for (const { number, faults, request, answer } of violations)
    console.log(`\nrequest ${number}: ${faults.join('\n  ')}\n  ${request}\n  ${answer}`)
}

type Counts = FuzzResult['counts']

const byName = (counts: Counts): [string, Map<number, number>][] =>
  [...counts].toSorted(([a], [b]) => (a < b ? -1 : 1))

const statusesOf = (of: Map<number, number>): string =>
  [...of]
    .toSorted(([a], [b]) => a - b)
    .map(([status, count]) => `${status}: ${count}`)
    .join('  ')

const sumOf = (counts: Map<number, number>): number =>
  [...counts.values()].reduce((sum, count) => sum + count, 0)

/** For `--json`: without requests and answers of violations where there is none. */
export const toJson = ({
  seed,
  requests,
  seconds,
  overloaded,
  slowestMs,
  counts,
  kinds,
  violations,
}: FuzzResult) => ({
  seed,
  requests,
  seconds: Math.round(seconds),
  overloaded,
  slowestMs: Math.round(slowestMs),
  kinds: Object.fromEntries(kinds),
  operations: Object.fromEntries(byName(counts).map(([name, of]) => [name, Object.fromEntries(of)])),
  violations,
})

const keptFile = join(import.meta.dir, '..', '..', 'reliability', 'fuzz.json')

/** Adds the figures of a run to the kept ones, under its seed. @param faultsAfter what was wrong after the run. */
export const keepResult = async (result: FuzzResult, faultsAfter: number): Promise<void> => {
  const file = Bun.file(keptFile)
  const kept: Record<string, string> = (await file.exists()) ? await file.json() : {}
  const { seed, requests, seconds, counts, kinds, violations, overloaded, slowestMs } = result
  const mix = [...kinds].map(([kind, count]) => `${count} ${kind}`).join(', ')
  kept[`Seed ${seed}`] =
    `${new Date().toISOString().slice(0, 10)}: ${requests} requests to ${counts.size} operations in ${Math.round(seconds)} s (${mix}); ${violations.length} violations, ${faultsAfter} faults after the run, ${overloaded} times 503, slowest answer ${Math.round(slowestMs)} ms`
  await Bun.write(keptFile, `${JSON.stringify(kept, null, 2)}\n`)
}
