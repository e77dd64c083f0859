// The process of `startS3Server`: port, folder and bucket are its arguments. Prints `ready` when it answers.
import { startFauxqs } from 'fauxqs'

const [port, folder, bucket] = process.argv.slice(2)
await startFauxqs({
  port: Number(port),
  host: '127.0.0.1',
  logger: false,
  s3StorageDir: folder!,
  init: { buckets: [bucket!] },
})
console.log('ready')
