// What a sweep of the storage found and did.

export interface SweepReport {
  isDryRun: boolean
  /** Objects in the storage, and their bytes. */
  objects: number
  bytes: number
  /** Objects without a row that are older than a day. */
  orphans: number
  /** The same, younger than a day: left alone, an upload may be about to end. */
  youngOrphans: number
  /** Orphans that were listed for deletion. */
  listed: number
  /** Attachments older than a day. */
  rows: number
  /** Those whose objects are missing. */
  missing: number
  /** What interrupted uploads left behind and was removed. */
  interrupted: number
  /** So many orphans that the storage may be another database's: nothing was deleted. */
  isRefused: boolean
}
