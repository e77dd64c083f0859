// Opens the storage that the settings name: a bucket where there is one, else a folder below the data.
import { join } from 'node:path'
import type { Config } from '../config.ts'
import type { Log } from '../log.ts'
import { messageOf } from '../errors.ts'
import { diskStorage, diskTrouble } from './disk.ts'
import { DiskStore } from './disk-store.ts'
import type { Storage, StorageHealth } from './storage.ts'

/** What `openStorage` reads of the settings. */
export const storageSettings = [
  'dataDir',
  's3Bucket',
  's3Endpoint',
  's3PublicEndpoint',
  's3Region',
  's3AccessKeyId',
  's3SecretAccessKey',
  's3PathStyle',
] as const satisfies (keyof Config)[]

type StorageSettings = Pick<Config, (typeof storageSettings)[number]>

/** Marks a new store of a disk. @param isUnused whether no row names an object. */
export const openStorage = async (
  config: StorageSettings,
  log: Log,
  isUnused: () => Promise<boolean>,
): Promise<Storage> => {
  if (config.s3Bucket === null) await beginDisk(folderOf(config), isUnused, log)
  return attachStorage(config, log, isUnused)
}

/** The folder of files, where they are not in a bucket. */
export const folderOf = ({ dataDir }: Pick<Config, 'dataDir'>): string => join(dataDir, 'files')

/** The storage as it is: a new store of a disk is left unmarked. */
export const attachStorage = async (
  config: StorageSettings,
  log: Log,
  isUnused: () => Promise<boolean>,
): Promise<Storage> => {
  const { s3Bucket, s3AccessKeyId, s3SecretAccessKey } = config
  if (s3Bucket === null || s3AccessKeyId === null || s3SecretAccessKey === null)
    return diskStorage(folderOf(config), isUnused)
  // The SDK takes 0.2 s to load: only where it is used.
  const { s3Storage } = await import('./s3.ts')
  const settings = {
    endpoint: config.s3Endpoint,
    publicEndpoint: config.s3PublicEndpoint,
    region: config.s3Region,
    bucket: s3Bucket,
    accessKeyId: s3AccessKeyId,
    secretAccessKey: s3SecretAccessKey,
    pathStyle: config.s3PathStyle,
  }
  return s3Storage(settings, join(config.dataDir, 'uploads'), log)
}

/** Marks a new store. One that cannot be used does not stop the start: what needs no file works. */
const beginDisk = async (root: string, isUnused: () => Promise<boolean>, log: Log): Promise<void> => {
  try {
    await new DiskStore(root, isUnused).begin()
  } catch (error) {
    log.error({ cause: messageOf(error) }, diskTrouble(error).text)
  }
}

export type StorageProbe = () => Promise<StorageHealth>

const probeEveryMs = 1_000

/** The health of the storage, cached: probes ask for it more often than it has to be known. */
export const createStorageProbe = (storage: Pick<Storage, 'health'>): StorageProbe => {
  let probedAt = -Infinity
  let result: Promise<StorageHealth>
  return () => {
    if (performance.now() - probedAt >= probeEveryMs) {
      probedAt = performance.now()
      result = storage.health()
    }
    return result
  }
}
