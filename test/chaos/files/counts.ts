// What a run of a fault of files counts.

export interface FilesCounts {
  injected: number
  /** Through the server, acknowledged. */
  uploads: number
  /** Direct uploads that were seen as attachments. */
  verified: number
  /** Objects stored again under a signed URL after the upload was complete or gone. */
  overwrites: number
  /** Attachments, tasks and projects that were deleted. */
  deletions: number
  objects: number
  /** Objects without a row, and rows without an object. */
  orphans: number
  missing: number
  /** Completions of deliveries beyond the first. */
  repeated: number
  /** Acknowledged attachments that are gone though no one removed them. */
  lost: number
  /** Attachments whose object is not the one that was verified. */
  replaced: number
  /** Old objects without a row that a sweep neither deleted nor listed. */
  unswept: number
  /** Objects younger than a day that a sweep deleted. */
  touched: number
  /** Rows that a sweep flagged although their object is there, or did not flag although it is gone. */
  misflagged: number
  /** Deliveries, deletions and uploads that do not end. */
  unsettled: number
  /** Requests without an answer for 10 s, and answers with 5xx that name internals. */
  hung: number
  leaking: number
}

export const noCounts = (): FilesCounts => ({
  injected: 0,
  uploads: 0,
  verified: 0,
  overwrites: 0,
  deletions: 0,
  objects: 0,
  orphans: 0,
  missing: 0,
  repeated: 0,
  lost: 0,
  replaced: 0,
  unswept: 0,
  touched: 0,
  misflagged: 0,
  unsettled: 0,
  hung: 0,
  leaking: 0,
})

/** The counts that must be 0, with what they say. */
export const findings = {
  orphans: 'objects without a row',
  missing: 'rows without an object',
  repeated: 'deliveries done twice',
  lost: 'acknowledged attachments are gone',
  replaced: 'attachments show another object than was verified',
  unswept: 'old objects without a row were left by a sweep',
  touched: 'young objects were swept',
  misflagged: 'rows are flagged wrongly',
  unsettled: 'deliveries, deletions and uploads do not end',
  hung: 'requests had no answer for 10 s',
  leaking: 'answers with 5xx named internals',
} as const satisfies Partial<Record<keyof FilesCounts, string>>

export type Finding = keyof typeof findings

export const findingNames = Object.keys(findings) as Finding[]
