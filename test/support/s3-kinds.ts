// The kinds of S3 servers that tests run against, and what each cannot do. A test that needs such a feature asserts what the
// driver does without it, instead of leaving the kind out.

/** True, or why the kind cannot do it. */
type Capability = true | { missing: string }

export interface S3Capabilities {
  /** `AbortMultipartUpload` discards the parts of an upload. */
  abortsUploads: Capability
  /** `ListMultipartUploads` names unfinished uploads. */
  listsUploads: Capability
  /** A completed upload is answered with 404 when it is completed again. */
  forgetsCompletedUploads: Capability
  /** Requests whose signature, date or signed headers do not match are refused. */
  checksSignatures: Capability
}

export const s3Kinds = {
  fauxqs: {
    abortsUploads: true,
    listsUploads: { missing: 'answers ?uploads with the list of objects' },
    forgetsCompletedUploads: true,
    checksSignatures: { missing: 'reads no signature' },
  },
  s3rver: {
    abortsUploads: { missing: 'answers 405 to DELETE with an upload id' },
    listsUploads: { missing: 'answers 501 to ?uploads' },
    forgetsCompletedUploads: { missing: 'answers 500 for the upload that is gone' },
    checksSignatures: true,
  },
} satisfies Record<string, S3Capabilities>

export type S3Kind = keyof typeof s3Kinds
