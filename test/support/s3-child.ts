// The process of `startS3Server`: its arguments are the kind, port, folder, bucket, and the credentials. Prints `ready`
// when it answers. Invariant: a key that was answered for is in the folder, so that a server that is killed still has it.
import type { S3Kind } from './s3-kinds.ts'

const [kind, port, folder, bucket, accessKeyId, secretAccessKey] = process.argv.slice(2)

const starts: Record<S3Kind, () => Promise<void>> = {
  async fauxqs() {
    const { startFauxqs } = await import('fauxqs')
    await startFauxqs({
      port: Number(port),
      host: '127.0.0.1',
      logger: false,
      s3StorageDir: folder!,
      init: { buckets: [bucket!] },
    })
  },
  async s3rver() {
    const { default: S3rver } = await import('@20minutes/s3rver')
    const { DUMMY_ACCOUNT } = await import('@20minutes/s3rver/lib/models/account.js')
    DUMMY_ACCOUNT.createKeyPair(accessKeyId!, secretAccessKey!)
    const server = new S3rver({
      port: Number(port),
      address: '127.0.0.1',
      silent: true,
      directory: folder!,
      vhostBuckets: false,
      configureBuckets: [{ name: bucket! }],
    })
    await server.run()
  },
}

// oxlint-disable-next-line typescript/no-unsafe-type-assertion -- the parent passes one of the kinds
await starts[kind as S3Kind]()
console.log('ready')
