// What an object store, or the network before it, answers to wrong settings, as one sentence with the setting and the cure.
import { codeOfError } from '../start/failure.ts'
import { networkTrouble, wrongSetting, type Trouble } from '../start/trouble.ts'

/** The SDK's errors: the code of the store as `name`, and the status where there was an answer. */
export const answerIn = (error: unknown): { name: string; status: number | undefined } => {
  if (!(error instanceof Error)) return { name: 'unknown', status: undefined }
  const metadata: unknown = Reflect.get(error, '$metadata')
  const status: unknown =
    typeof metadata === 'object' && metadata !== null ? Reflect.get(metadata, 'httpStatusCode') : undefined
  return { name: error.name, status: typeof status === 'number' ? status : undefined }
}

const noBucket = 'S3_BUCKET names a bucket that does not exist: create it, or correct the name'
const wrongRegion = 'S3_REGION is not the region of the bucket: correct it'

/** The code of the store → the sentence. */
const answers: Record<string, string> = {
  SignatureDoesNotMatch: 'S3_SECRET_ACCESS_KEY: the object store refuses the signature: correct it',
  InvalidAccessKeyId: 'S3_ACCESS_KEY_ID names a key that the object store does not know: correct it',
  RequestTimeTooSkewed: 'The object store refuses the time of requests: set the clock of this machine',
  NoSuchBucket: noBucket,
  PermanentRedirect: wrongRegion,
  AuthorizationHeaderMalformed: wrongRegion,
}

/**
 * Null for what no setting explains.
 * @param error of a call that is about no object, or about one that exists. @param setting that says where the store is.
 */
export const s3Trouble = (error: unknown, setting: 'S3_ENDPOINT' | 'S3_REGION'): Trouble | null => {
  const { name, status } = answerIn(error)
  const answer = answers[name]
  if (answer !== undefined) return wrongSetting(answer)
  if (status === 404) return wrongSetting(noBucket)
  if (status === 301) return wrongSetting(wrongRegion)
  // The answer to a HEAD has no code.
  if (status === 401 || status === 403)
    return wrongSetting(
      'S3_ACCESS_KEY_ID or S3_SECRET_ACCESS_KEY: the object store refuses them: correct them, or allow them to read and write the bucket',
    )
  return status === undefined ? networkTrouble(codeOfError(error), setting, 'the object store') : null
}
