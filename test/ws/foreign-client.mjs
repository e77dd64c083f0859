// Opens the socket with the npm package `ws`, by its path, since Bun puts its own in the place of the name. Reads
// scenarios from its arguments, does them one after another and prints what it saw of each as a line of JSON.
//   node foreign-client.mjs <url> <scenarios as JSON: [{protocols, headers, steps}]>
// A step is {send: text}, {binary: base64}, {fragments: [text]}, {ping: text}, {close: [code, reason]}, or
// {await: 'text' | 'pong' | 'close'}.
import { createRequire } from 'node:module'

const require = createRequire(import.meta.url)
const WebSocket = require('../../node_modules/ws/lib/websocket.js')
const deadlineMs = 10_000

const perform = async ({ protocols = [], headers = {}, options = {}, steps = [] }, url) => {
  const seen = {
    protocol: null,
    extensions: null,
    status: null,
    texts: [],
    pongs: [],
    code: null,
    reason: null,
  }
  const waiting = []
  const news = () => waiting.splice(0).forEach((wake) => wake())
  const socket = new WebSocket(url, protocols, { headers, ...options })
  socket.on('upgrade', ({ statusCode }) => (seen.status = statusCode))
  socket.on('unexpected-response', (_request, response) => {
    seen.status = response.statusCode
    response.destroy()
    seen.code = -1
    news()
  })
  socket.on('open', () => {
    seen.protocol = socket.protocol
    seen.extensions = socket.extensions
    news()
  })
  socket.on('message', (data, isBinary) => (seen.texts.push(isBinary ? null : String(data)), news()))
  socket.on('pong', (data) => (seen.pongs.push(String(data)), news()))
  socket.on('error', (error) => (seen.error ??= error.message))
  socket.on('close', (code, reason) => ((seen.code ??= code), (seen.reason = String(reason)), news()))

  const until = async (isTrue, what) => {
    const timer = setTimeout(
      () => waiting.splice(0).forEach((wake) => wake(new Error(`no ${what}`))),
      deadlineMs,
    )
    while (!isTrue()) {
      const failure = await new Promise((resolve) => waiting.push(resolve))
      if (failure) throw failure
    }
    clearTimeout(timer)
  }
  await until(() => socket.readyState === WebSocket.OPEN || seen.code !== null, 'opening')
  const counts = { text: 0, pong: 0 }
  for (const step of steps) {
    if (step.send !== undefined) socket.send(step.send)
    if (step.binary) socket.send(Buffer.from(step.binary, 'base64'))
    if (step.fragments) {
      step.fragments.forEach((part, index) =>
        socket.send(part, { fin: index === step.fragments.length - 1, binary: false }),
      )
    }
    if (step.ping !== undefined) socket.ping(step.ping)
    if (step.close) socket.close(...step.close)
    if (step.await === 'close') await until(() => seen.code !== null, 'close')
    if (step.await === 'text')
      await until(() => seen.texts.length > counts.text, 'text').then(() => (counts.text += 1))
    if (step.await === 'pong')
      await until(() => seen.pongs.length > counts.pong, 'pong').then(() => (counts.pong += 1))
  }
  socket.terminate()
  return seen
}

const [url, scenarios] = process.argv.slice(2)
for (const scenario of JSON.parse(scenarios)) {
  const seen = await perform(scenario, url).catch((error) => ({ failure: error.message }))
  console.log(JSON.stringify(seen))
}
