// Outcomes of the files suite as rows of the report.
import { stamp, type FaultRow } from '../results.ts'
import { findings } from './counts.ts'
import type { FilesOutcome } from './files-arena.ts'
import type { FilesClient } from './files-client.ts'

const base = (seed: number, seconds: number) => ({
  suite: 'files',
  seeds: [seed],
  seconds,
  isLong: false,
  recoveryMs: {},
  limitsMs: {},
  notes: [],
  ...stamp(),
})

export const filesRow = (
  seed: number,
  seconds: number,
  { name, title, counts, violations, notes }: FilesOutcome,
): FaultRow => ({
  ...base(seed, seconds),
  name,
  title,
  counts: { ...counts },
  verdict: violations.length === 0 ? 'ok' : 'violated',
  violations: violations.map((line) => `seed ${seed}: ${line}`),
  notes,
})

export interface DeletionOutcome {
  name: string
  files: number
  limitMs: number
  /** With the store at hand, and with the store away for 30 s. */
  tookMs: number[]
  /** Of the requests meanwhile. */
  requests: FilesClient['counts']
}

export const deletionRow = (
  seed: number,
  { name, files, limitMs, tookMs, requests }: DeletionOutcome,
): FaultRow => {
  const late = tookMs.filter((ms) => ms > limitMs)
  const violations = [
    ...late.map((ms) => `gone only after ${ms.toFixed(0)} ms, not ${limitMs}`),
    ...(['hung', 'leaking'] as const)
      .filter((count) => requests[count] > 0)
      .map((count) => `${requests[count]} ${findings[count]}`),
  ]
  return {
    ...base(seed, 0),
    name,
    title: `a project with ${files} files deleted, the store at hand and away for 30 s`,
    counts: { deletions: tookMs.length, late: late.length, ...requests },
    verdict: violations.length === 0 ? 'ok' : 'violated',
    violations: violations.map((line) => `seed ${seed}: ${line}`),
    notes: [`gone after ${tookMs.map((ms) => (ms / 1_000).toFixed(1)).join(' and ')} s`],
  }
}
